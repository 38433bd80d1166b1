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
SENTENCES = {
    "wins": WINS,
    "blocks": "{cell} blocks",
    "forks": "{cell} forks",
    "worth": "{cell} worth {n}",
    "gives": "{cell} gives a win",
    "full": "{cell} full",
}
"""The sentence about a drop, by its kind."""
GRAMMAR = (*SENTENCES.values(), BEST)

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


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
def think(cells: bytes, shape: Shape) -> Thought:
    """Return the thought on a board that is not full."""
    judged = drops(cells, shape)
    steps: list[str] = []
    for col in order(shape.cols):
        steps.append(_sentence(judged[col], shape))
        if judged[col].kind == "wins":
            break
    else:
        steps.append(BEST.format(line=f"column {_best(judged) + 1}"))
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, values(cells, shape)[action])


def facts(cells: bytes, shape: Shape) -> frozenset[str]:
    """Return all true sentences about a board."""
    judged = drops(cells, shape)
    sentences = [_sentence(drop, shape) for drop in judged]
    sentences.append(BEST.format(line=f"column {_best(judged) + 1}"))
    return frozenset(sentences)


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
    judged = drops(cells, shape)
    threatened = "blocks" in [drop.kind for drop in judged]
    values_by_action = {}
    for col, (kind, _, worth) in enumerate(judged):
        if kind == "full":
            continue
        value = LOWEST[kind]
        if threatened and kind not in ("wins", "blocks"):
            value = UNBLOCKED
        elif kind == "worth":
            value += DISC * worth
        values_by_action[f"column {col + 1}"] = value
    return values_by_action


def _best(judged: Sequence[Drop]) -> int:
    """Return the best column, from 0; of equal ones the first in the order of looking."""
    return max(order(len(judged)), key=lambda col: _rank(judged[col]))


def _rank(drop: Drop) -> tuple[int, int]:
    """Return the rank of a drop: by its kind, then by the number in its sentence."""
    number = drop.worth if drop.kind == "worth" else 0
    return RANKS.index(drop.kind), number


def _sentence(drop: Drop, shape: Shape) -> str:
    names = cell_names(shape.rows, shape.cols)
    return SENTENCES[drop.kind].format(cell=names[drop.cell], n=drop.worth)
