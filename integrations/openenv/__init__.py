"""The games of vlm-gym as a package of OpenEnv; `vlm_gym.adapters.openenv` holds the code."""

from vlm_gym_env.client import VlmGymEnv
from vlm_gym_env.models import VlmGymAction, VlmGymObservation, VlmGymState

__all__ = ["VlmGymAction", "VlmGymEnv", "VlmGymObservation", "VlmGymState"]
