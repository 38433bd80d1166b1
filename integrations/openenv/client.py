"""The client, by the names that OpenEnv derives from the name of the package."""

from vlm_gym_env.models import VlmGymAction, VlmGymObservation, VlmGymState

from vlm_gym.adapters.openenv import GameClient as VlmGymEnv

__all__ = ["VlmGymAction", "VlmGymEnv", "VlmGymObservation", "VlmGymState"]
