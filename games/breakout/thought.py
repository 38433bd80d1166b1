"""Thoughts for Breakout: where the ball is after each decision, where it lands, then the move to there.

Places on the floor are in quarters of a cell from the left. The flight is that without wind. The best move
brings the middle of the paddle nearest to that of the landing ball; of equal ones, staying comes first.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from vlm_gym.thought import Thought, parse_sentence

from .court import MOVES, UNIT, Court, tick

FLIES = "turn {n} ball in {cell}"
LANDS = "it lands at {n}"
PADDLE = "paddle at {n}"
BEST = "{move} is best"
GRAMMAR = (FLIES, LANDS, PADDLE, BEST)
LONGEST = 6
"""Decisions for which the flight is computed."""


class Path(NamedTuple):
    """The flight of the ball until it lands."""

    cells: tuple[str, ...]
    """The cell of its middle after each whole decision."""
    ticks: int
    """Until it lands, or until the end of `LONGEST` decisions."""
    x: int
    """Where it lands: the place of its corner."""


@lru_cache(maxsize=1 << 10)  # the values and the sentences need it
def flight(court: Court, ticks: int) -> Path:
    """Compute the flight of the ball, without wind and with `ticks` a decision."""
    cells: list[str] = []
    floor = (court.rows - 2) * UNIT
    for passed in range(1, LONGEST * ticks + 1):
        lands = court.y + court.down > floor
        court = tick(court, 0)
        if lands:
            return Path(tuple(cells), passed, court.x)
        if passed % ticks == 0:
            row = (court.y + UNIT // 2) // UNIT + 1
            col = (court.x + UNIT // 2) // UNIT + 1
            cells.append(f"({row},{col})")
    return Path(tuple(cells), LONGEST * ticks, court.x)


def judged(court: Court, ticks: int) -> Mapping[str, float]:
    """Compute the value in (0, 1] of every move."""
    path = flight(court, ticks)
    landing = path.x
    moved = min(ticks, path.ticks)
    target = landing + UNIT // 2 - court.width * UNIT // 2
    last = (court.cols - court.width) * UNIT
    values = {}
    for move, pace in MOVES.items():
        paddle = min(last, max(0, court.paddle + pace * moved))
        away = abs(paddle - target)
        values[move] = 1 - away / (court.cols * UNIT)
    return values


@lru_cache(maxsize=1 << 10)  # `solve` and `facts` call it again
def think(court: Court, ticks: int) -> Thought:
    """Return the thought on a ball in play."""
    steps = tuple(_sentences(court, ticks))
    action = conclude(steps)
    assert action is not None
    return Thought(steps, action, judged(court, ticks)[action])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the move that the steps name as the best."""
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (move,)) if template == BEST and move in MOVES:
                return move
    return None


def _sentences(court: Court, ticks: int) -> Iterator[str]:
    path = flight(court, ticks)
    for number, cell in enumerate(path.cells, 1):
        yield f"turn {number} ball in {cell}"
    yield f"it lands at {path.x + UNIT // 2}"
    yield f"paddle at {court.paddle + court.width * UNIT // 2}"
    values = judged(court, ticks)
    yield f"{max(MOVES, key=values.__getitem__)} is best"
