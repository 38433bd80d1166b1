"""Games that a vision-language model learns to play from screenshots.

Importing registers every game with gymnasium: ``gym.make("vlm_gym/2048-v0", perception=2, reasoning=1)``.
What is offered here is all that most users need. These packages hold the rest:

- `envs`: one game, many of a kind, many of several kinds
- `render`: scenes to pictures, and the perception axis
- `rollouts`: policies, rewards, turns, worker processes, clusters, recordings
- `evaluation`, `replays`, `report`: suites and scores, recordings checked, and HTML pages
- `play`, `gallery`, `bench`, `cli`: people, pictures, speed, and the command
"""

import vlm_gym.starting  # noqa: F401  # isort: skip  # before all that takes time to import

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium import register

from vlm_gym.registry import find, names

if TYPE_CHECKING:
    from vlm_gym.check import check_game
    from vlm_gym.envs.mixed import TextVectorEnv as make_vec
    from vlm_gym.envs.text import TextEnv
    from vlm_gym.episode import Episode
    from vlm_gym.rollouts.policy import make as make_policy
    from vlm_gym.rollouts.reward import fork
    from vlm_gym.rollouts.rollout import rollout

__all__ = ["Episode", "TextEnv", "check_game", "find", "fork", "make_policy", "make_vec", "names", "rollout"]

_LAZY = {
    "Episode": ("vlm_gym.episode", "Episode"),
    "TextEnv": ("vlm_gym.envs.text", "TextEnv"),
    "check_game": ("vlm_gym.check", "check_game"),
    "fork": ("vlm_gym.rollouts.reward", "fork"),
    "make_policy": ("vlm_gym.rollouts.policy", "make"),
    "make_vec": ("vlm_gym.envs.mixed", "TextVectorEnv"),
    "rollout": ("vlm_gym.rollouts.rollout", "rollout"),
}
"""Imported when first asked for, so that ``import vlm_gym`` stays fast."""

for _name in names():
    register(
        id=f"vlm_gym/{_name}-v0",
        entry_point="vlm_gym.envs.single:GameEnv",
        vector_entry_point="vlm_gym.envs.vector:GameVectorEnv",
        kwargs={"game": _name},
    )


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
