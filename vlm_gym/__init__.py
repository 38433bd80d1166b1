"""Games that a vision-language model learns to play from screenshots.

Importing registers every game with gymnasium: ``gym.make("vlm_gym/2048-v0", perception=2, reasoning=1)``.
Many games of several kinds at once: ``vlm_gym.make_vec(["2048", "swap"], num_envs=64)``.
"""

from typing import TYPE_CHECKING, Any

from gymnasium import register

from vlm_gym.registry import find, names

if TYPE_CHECKING:
    from vlm_gym.mixed import TextVectorEnv as make_vec

__all__ = ["find", "make_vec", "names"]

for _name in names():
    register(
        id=f"vlm_gym/{_name}-v0",
        entry_point="vlm_gym.env:GameEnv",
        vector_entry_point="vlm_gym.vector:GameVectorEnv",
        kwargs={"game": _name},
    )


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is first asked for."""
    if name != "make_vec":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vlm_gym.mixed import TextVectorEnv

    return TextVectorEnv
