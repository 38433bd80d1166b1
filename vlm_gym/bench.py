"""How fast the environments are, in a unit that travels: copies of one frame, measured in the same run."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np

from vlm_gym.dice import Dice
from vlm_gym.registry import find, names

if TYPE_CHECKING:
    from rich.table import Table

STEPS = 400
"""Timed steps of one row and round."""

ROUNDS = 5
"""Each figure is the best of this many rounds: the machine disturbs only upward."""


class Row(NamedTuple):
    """One game at one perception level; times in microseconds."""

    game: str
    perception: int
    copy: float
    """One copy of a 448 x 448 frame."""
    rules: float
    """One `Game.step`, without a picture."""
    step: float
    """One step through `gym.make`: rules, picture, info with its mask."""
    reset: float
    """One reset through `gym.make`, with its picture."""


def measure(game: str, perception: int) -> Row:
    """Time one game at its `paper` size (level 2 where it has none)."""
    reasoning = "paper" if "paper" in find(game).presets else "2"
    env = gym.make(f"vlm_gym/{game}-v0", perception=perception, reasoning=reasoning)
    lines = _lines(env, STEPS)
    frame = np.zeros((448, 448, 3), np.uint8)
    kept = np.empty_like(frame)
    best = [float("inf")] * 4
    for _ in range(ROUNDS + 1):  # the first round draws the sprites
        times = (
            _time(lambda: np.copyto(kept, frame), 200),
            _time_rules(game, lines),
            *_time_env(env, lines),
        )
        best = [min(pair) for pair in zip(best, times, strict=True)]
    env.close()
    return Row(game, perception, *(1e6 * seconds for seconds in best))


def table(games: Sequence[str] | None = None) -> "Table":
    """Measure games at perception 0 and 4 and lay the rows out."""
    from rich.progress import track
    from rich.table import Table

    table = Table(title="One environment through gym.make; x = copies of a frame", title_justify="left")
    for heading in ("game", "perception", "frame copy", "rule steps/s", "rendered steps/s", "step", "reset"):
        table.add_column(heading, justify="left" if heading == "game" else "right")
    for game in games or names():
        for perception in track((0, 4), f"timing {game}", transient=True):
            row = measure(game, perception)
            table.add_row(
                game,
                str(perception),
                f"{row.copy:.1f} us",
                f"{1e6 / row.rules:,.0f}",
                f"{1e6 / row.step:,.0f}",
                f"{row.step / row.copy:.1f} x",
                f"{row.reset / row.copy:.1f} x",
            )
    return table


Line = tuple[int, list[int]]
"""A seed and the legal actions of a game played from it."""


def _lines(env: gym.Env[Any, Any], steps: int) -> list[Line]:
    """Play random legal games once, so that what is timed later does not choose."""
    dice, lines, seed = Dice(0), list[Line](), 0
    while sum(len(line) for _, line in lines) < steps:
        _, info = env.reset(seed=seed)
        line: list[int] = []
        ended = False
        while not ended:
            line.append(int(dice.choice(np.flatnonzero(info["action_mask"]).tolist())))
            _, _, terminated, truncated, info = env.step(line[-1])
            ended = terminated or truncated
        lines.append((seed, line))
        seed += 1
    return lines


def _time(action: Callable[[], object], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        action()
    return (perf_counter() - start) / times


def _time_env(env: gym.Env[Any, Any], lines: list[Line]) -> tuple[float, float]:
    stepping = resetting = 0.0
    for seed, line in lines:
        start = perf_counter()
        env.reset(seed=seed)
        middle = perf_counter()
        for action in line:
            env.step(action)
        end = perf_counter()
        resetting += middle - start
        stepping += end - middle
    return stepping / sum(len(line) for _, line in lines), resetting / len(lines)


def _time_rules(game: str, lines: list[Line]) -> float:
    rules = find(game)
    knobs = rules.settle("paper" if "paper" in rules.presets else "2")
    words = rules.actions(knobs)
    spent = 0.0
    for seed, line in lines:
        state = rules.start(seed, knobs)
        start = perf_counter()
        for action in line:
            state = rules.step(state, words[action]).state
        spent += perf_counter() - start
    return spent / sum(len(line) for _, line in lines)
