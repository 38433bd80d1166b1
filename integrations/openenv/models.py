"""What travels, by the names that OpenEnv derives from the name of the package."""

from vlm_gym.adapters.openenv import GameState as VlmGymState
from vlm_gym.adapters.openenv import Reply as VlmGymAction
from vlm_gym.adapters.openenv import Seen as VlmGymObservation

__all__ = ["VlmGymAction", "VlmGymObservation", "VlmGymState"]
