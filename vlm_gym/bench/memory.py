"""What an environment keeps in memory, beyond the frame that everyone must have."""

import gc
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random
from typing import Any, NamedTuple

import gymnasium as gym

ENVS = 8


class Footprint(NamedTuple):
    """Bytes held by Python and numpy."""

    own: int
    """Of one environment, beyond the one frame that its caller holds."""
    shared: int
    """Of the sprites that all environments of a game and look draw with."""


def footprint(game: str, perception: int, reasoning: str) -> Footprint:
    """Make and play environments in a fresh process, where no sprite has been drawn yet."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_footprint, game, perception, reasoning).result()


def _footprint(game: str, perception: int, reasoning: str) -> Footprint:
    def play(seed: int, **knobs: int) -> tuple[gym.Env[Any, Any], Any]:
        """Play an episode; returns the environment and its last picture, for both are held in use."""
        look = {"level": perception, **knobs}
        env = gym.make(f"vlm_gym/{game}-v0", perception=look, reasoning=reasoning)
        dice = Random(seed)
        index = env.get_wrapper_attr("index")
        frame, info = env.reset(seed=seed)
        ended = False
        while not ended:
            frame, _, terminated, truncated, info = env.step(index[dice.choice(info["legal"])])
            ended = terminated or truncated
        return env, frame

    for seed in range(ENVS):  # in small pictures: loads modules and fills tables, without measured sprites
        play(seed, size=128)
    gc.collect()
    tracemalloc.start()
    for seed in range(ENVS):
        play(seed)
    gc.collect()
    shared = tracemalloc.get_traced_memory()[0]
    held = [play(seed) for seed in range(ENVS)]
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - shared
    return Footprint(grown // ENVS - held[0][1].nbytes, shared)
