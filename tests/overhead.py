"""What an adapter adds to a turn of our own: a step, the next picture and its PNG as a data URL.

`pytest -rP` shows the figures.
"""

import math
from collections.abc import Callable
from statistics import fmean
from time import perf_counter

from vlm_gym.adapters.play import Row
from vlm_gym.envs.run import Run
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.render.encode import data_url

ROW = {"game": "2048", "perception": 1, "reasoning": 1, "split": "train", "index": 3}
LIMIT = 1e-3
"""Seconds that an adapter may add to a turn."""
ROUNDS = 10
"""Episodes that each side plays."""
TURNS = 10
"""Turns of an episode that are measured."""


def our_turns(row: dict) -> Callable[[], None]:
    """Begin the episode of a row, and return what plays its next turn without any adapter."""
    asked = Row.read(row)
    game = find(asked.episode.game)
    run = Run(game, game.settle(asked.episode.reasoning), look(asked.episode.perception))
    run.start(asked.episode.seed)

    def turn() -> None:
        run.step(run.legal[0])
        data_url(run.picture())

    return turn


def added(name: str, begin: Callable[[dict], Callable[[], object]], row: dict = ROW, first: int = 0) -> float:
    """Measure the seconds that an adapter adds to a turn; `begin` begins an episode, as `our_turns` does.

    Both sides play the same actions. The `first` turns are played before any is measured.
    """
    fastest = [[math.inf, math.inf] for _ in range(TURNS)]
    for _ in range(ROUNDS):  # interleaved, and the fastest of many, since other programs run beside this one
        sides = our_turns(row), begin(row)
        for turn in range(first + TURNS):
            for side, play in enumerate(sides):
                start = perf_counter()
                play()
                seconds = perf_counter() - start
                if turn >= first:
                    fastest[turn - first][side] = min(fastest[turn - first][side], seconds)
    ours = fmean(own for own, _ in fastest)
    adapted = fmean(other for _, other in fastest)
    return told(name, ours, adapted)


def told(name: str, ours: float, adapted: float) -> float:
    """Print what is added, and return it."""
    print(f"{name} adds {1e3 * (adapted - ours):.2f} ms to a turn of {1e3 * ours:.2f} ms")  # noqa: T201
    return adapted - ours
