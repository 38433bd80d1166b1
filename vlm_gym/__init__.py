"""Games that a vision-language model learns to play from screenshots.

Importing registers every game with gymnasium: ``gym.make("vlm_gym/2048-v0", perception=2, reasoning=1)``.
"""

from gymnasium import register

from vlm_gym.registry import find, names

__all__ = ["find", "names"]

for _name in names():
    register(
        id=f"vlm_gym/{_name}-v0",
        entry_point="vlm_gym.env:GameEnv",
        vector_entry_point="vlm_gym.vector:GameVectorEnv",
        kwargs={"game": _name},
    )
