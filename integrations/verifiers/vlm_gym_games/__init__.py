"""The games of vlm-gym by the name that verifiers asks for; `vlm_gym.adapters.verifiers` holds the code."""

from vlm_gym.adapters.verifiers import GameEnv, GameHarness, GameTaskset

__all__ = ["GameEnv", "GameHarness", "GameTaskset"]
