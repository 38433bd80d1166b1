"""Thoughts for Connect Four: what a disc does in each column, from the middle outwards, then the best.

A thought ends with the first column that wins. Else every column gets a sentence, and the last sentence names
the best: one that blocks comes before one that forks, that before the highest number, and a column that gives
the opponent a win comes last. Of equal columns the first one is taken.
"""

from collections.abc import Sequence
from functools import lru_cache

from vlm_gym.thought import Thought, parse

from .board import Shape
from .solver import Drop, drops

WINS = "{line} wins"
BEST = "{line} is best"
SAID = {
    "wins": WINS,
    "blocks": "{line} blocks",
    "forks": "{line} forks",
    "worth": "{line} is worth {n}",
    "gives": "{line} gives a win",
    "full": "{line} is full",
}
GRAMMAR = (*SAID.values(), BEST)

RANKS = ("full", "gives", "worth", "forks", "blocks", "wins")
"""Kinds of a drop, the worst first."""
LOWEST = {"wins": 1.0, "blocks": 0.8, "forks": 0.9, "worth": 0.4, "gives": 0.1}
"""The value of a drop by its kind, where nothing needs to be blocked."""
UNBLOCKED = 0.05
"""The value of a drop after which the opponent can win at once."""
HALF = 30
"""The worth by which a drop gains half of what it can."""


def order(cols: int) -> list[int]:
    """List the columns, from 0, in the order of looking: from the middle outwards, the left one first."""
    return sorted(range(cols), key=lambda col: (abs(2 * col + 1 - cols), col))


@lru_cache(maxsize=1 << 10)
def think(cells: bytes, shape: Shape) -> Thought:
    """Return the thought on a board that is not full."""
    found = drops(cells, shape)
    steps: list[str] = []
    for col in order(shape.cols):
        steps.append(_say(col, found[col]))
        if found[col].kind == "wins":
            break
    else:
        steps.append(BEST.format(line=f"column {_best(found) + 1}"))
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, values(cells, shape)[action])


def facts(cells: bytes, shape: Shape) -> frozenset[str]:
    """Return all true sentences about a board."""
    found = drops(cells, shape)
    said = [_say(col, drop) for col, drop in enumerate(found)]
    return frozenset([*said, BEST.format(line=f"column {_best(found) + 1}")])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the column that the steps imply: it wins, or is named as the best."""
    for step in steps:
        match parse(step, GRAMMAR):
            case (template, (line,)) if template in (WINS, BEST) and line.startswith("column"):
                return line
    return None


def values(cells: bytes, shape: Shape) -> dict[str, float]:
    """Compute the value in [0, 1] of every column that is not full."""
    found = drops(cells, shape)
    threatened = any(drop.kind == "blocks" for drop in found)
    judged = {}
    for col, (kind, worth) in enumerate(found):
        if kind == "full":
            continue
        value = LOWEST[kind]
        if threatened and kind not in ("wins", "blocks"):
            value = UNBLOCKED
        elif kind == "worth":
            value += 0.4 * worth / (worth + HALF)
        judged[f"column {col + 1}"] = value
    return judged


def _best(found: Sequence[Drop]) -> int:
    return max(order(len(found)), key=lambda col: (RANKS.index(found[col].kind), _counts(found[col])))


def _counts(drop: Drop) -> int:
    """Return the number that is said of a drop, by which drops of one kind are compared."""
    return drop.worth if drop.kind == "worth" else 0


def _say(col: int, drop: Drop) -> str:
    return SAID[drop.kind].format(line=f"column {col + 1}", n=drop.worth)
