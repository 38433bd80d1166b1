"""The games as an environment of verifiers: a taskset of rows, and a harness that plays them in this process.

The package under `integrations/verifiers/` offers them by the name that `vf-eval` and prime-rl ask for.
"""

from vlm_gym.adapters.libraries import check_library

TRIED = "0.4.0"
"""The version of the library ``verifiers`` that this adapter was tried with."""

check_library("verifiers", TRIED, "verifiers")

from vlm_gym.adapters.verifiers.harness import GameHarness, GameHarnessConfig  # noqa: E402
from vlm_gym.adapters.verifiers.taskset import (  # noqa: E402
    GameData,
    GameTask,
    GameTaskset,
    GameTasksetConfig,
    VerifiersEnv,
    VerifiersEnvConfig,
)

__all__ = [
    "TRIED",
    "GameData",
    "GameHarness",
    "GameHarnessConfig",
    "GameTask",
    "GameTaskset",
    "GameTasksetConfig",
    "VerifiersEnv",
    "VerifiersEnvConfig",
]
