"""The games as an environment of OpenEnv: a server with many sessions at a time, and its client.

`server` starts one. `GameClient` plays on one: a `reset` takes the row of an episode, a `step` takes a reply.
"""

from vlm_gym.adapters.libraries import check_library

TRIED = "0.10.0"
"""The version of the library ``openenv`` that this adapter was tried with."""

check_library("openenv", TRIED, "openenv")

from vlm_gym.adapters.openenv.client import GameClient, as_message  # noqa: E402
from vlm_gym.adapters.openenv.environment import GameEnvironment  # noqa: E402
from vlm_gym.adapters.openenv.models import GameObservation, GameState, ReplyAction  # noqa: E402

__all__ = [
    "TRIED",
    "GameClient",
    "GameEnvironment",
    "GameObservation",
    "GameState",
    "ReplyAction",
    "as_message",
]
