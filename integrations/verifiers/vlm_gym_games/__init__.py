"""The games of vlm-gym by the name that verifiers asks for; `vlm_gym.adapters.verifiers` holds the code."""

from vlm_gym.adapters.verifiers import GameHarness, GameTaskset, VerifiersEnv

__all__ = ["GameHarness", "GameTaskset", "VerifiersEnv"]
