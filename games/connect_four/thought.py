"""Thoughts for Connect Four: where a disc falls in each column and what it does there, then the best column.

Columns are looked at from the middle outwards. A thought ends with the first disc that wins. Else the last
sentence names the best column: one that blocks comes before one that forks, that before the highest number,
and a column that gives the opponent a win comes last. Of equal columns the first one is taken.
"""

from collections.abc import Sequence
from functools import lru_cache

from vlm_gym.cells import cell_names
from vlm_gym.thought import Thought, parse_sentence

from .board import Shape
from .solver import Drop, drops

WINS = "{cell} wins"
BEST = "{line} is best"
SAID = {
    "wins": WINS,
    "blocks": "{cell} blocks",
    "forks": "{cell} forks",
    "worth": "{cell} worth {n}",
    "gives": "{cell} gives a win",
    "full": "{cell} full",
}
"""The sentence about a drop, by its kind."""
GRAMMAR = (*SAID.values(), BEST)

RANKS = ("full", "gives", "worth", "forks", "blocks", "wins")
"""Kinds of a drop, the worst first."""
LOWEST = {"wins": 1.0, "blocks": 0.8, "forks": 0.9, "worth": 0.2, "gives": 0.1}
"""The value of a drop by its kind, where nothing needs to be blocked."""
UNBLOCKED = 0.05
"""The value of a drop after which the opponent can win at once."""
DISC = 0.15
"""What a disc in the same line adds to the value of a drop."""


def order(cols: int) -> list[int]:
    """List the columns, from 0, in the order of looking: from the middle outwards, the left one first."""
    return sorted(range(cols), key=lambda col: (abs(2 * col + 1 - cols), col))


@lru_cache(maxsize=1 << 10)
def think(cells: bytes, shape: Shape) -> Thought:
    """Return the thought on a board that is not full."""
    found = drops(cells, shape)
    steps: list[str] = []
    for col in order(shape.cols):
        steps.append(_say(found[col], shape))
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
    said = [_say(drop, shape) for drop in found]
    return frozenset([*said, BEST.format(line=f"column {_best(found) + 1}")])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the column that the steps imply: it wins, or is named as the best."""
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (cell,)) if template == WINS:
                return f"column {cell.strip('()').split(',')[1]}"
            case (template, (line,)) if template == BEST and line.startswith("column"):
                return line
    return None


def values(cells: bytes, shape: Shape) -> dict[str, float]:
    """Compute the value in [0, 1] of every column that is not full."""
    found = drops(cells, shape)
    threatened = any(drop.kind == "blocks" for drop in found)
    judged = {}
    for col, (kind, _, worth) in enumerate(found):
        if kind == "full":
            continue
        value = LOWEST[kind]
        if threatened and kind not in ("wins", "blocks"):
            value = UNBLOCKED
        elif kind == "worth":
            value += DISC * worth
        judged[f"column {col + 1}"] = value
    return judged


def _best(found: Sequence[Drop]) -> int:
    return max(order(len(found)), key=lambda col: (RANKS.index(found[col].kind), _counts(found[col])))


def _counts(drop: Drop) -> int:
    """Return the number that is said of a drop, by which drops of one kind are compared."""
    return drop.worth if drop.kind == "worth" else 0


def _say(drop: Drop, shape: Shape) -> str:
    return SAID[drop.kind].format(cell=cell_names(shape.rows, shape.cols)[drop.cell], n=drop.worth)
