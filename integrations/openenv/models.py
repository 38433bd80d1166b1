"""What travels, by the names that OpenEnv derives from the name of the package."""

from vlm_gym.adapters.openenv import GameObservation as VlmGymObservation
from vlm_gym.adapters.openenv import GameState as VlmGymState
from vlm_gym.adapters.openenv import ReplyAction as VlmGymAction

__all__ = ["VlmGymAction", "VlmGymObservation", "VlmGymState"]
