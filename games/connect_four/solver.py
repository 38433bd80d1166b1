"""The value of each column to the player.

The player's solver judges one column at a time and does not search, so that each judgement can be stated in
a sentence (`thought`).
"""

from functools import lru_cache
from typing import NamedTuple

from .board import THEY, YOU, Shape, columns, discs, free, lacking, lines, lines_through


class Drop(NamedTuple):
    """What a disc of the player does in a column."""

    kind: str
    """``wins``, ``blocks`` a win of the opponent, ``forks``: two ways to win next; ``gives`` the opponent the
    win on top of it, ``full``, or ``worth``: nothing of these."""
    cell: int
    """The cell on which it comes to rest, row by row from 0; the one at the top of a full column."""
    worth: int
    """The discs in the fullest line through its cell that has none of one side; 0 for most kinds."""


@lru_cache(maxsize=1 << 12)  # `values`, `think` and `facts` use it
def drops(cells: bytes, shape: Shape) -> tuple[Drop, ...]:
    """Judge every column for the player."""
    mine = discs(cells, YOU)
    theirs = discs(cells, THEY)
    landings = free(mine | theirs, shape)
    wins = lacking(mine, lines(shape))
    threats = lacking(theirs, lines(shape))
    judged = []
    for column in columns(shape):
        move = landings & column
        # The index of the one bit of `move`; for a full column, of its lowest bit, the cell at its top.
        cell = (move or column & -column).bit_length() - 1
        if not move:
            judged.append(Drop("full", cell, 0))
        elif move & wins:
            judged.append(Drop("wins", cell, 0))
        elif move & threats:
            judged.append(Drop("blocks", cell, 0))
        elif move >> shape.cols & threats:  # the cell above
            judged.append(Drop("gives", cell, 0))
        else:
            through = lines_through(shape)[move]
            next_landings = free(mine | theirs | move, shape)
            next_wins = next_landings & (wins | lacking(mine | move, through))
            kind = "forks" if next_wins.bit_count() > 1 else "worth"
            judged.append(Drop(kind, cell, _worth(mine, theirs, through)))
    return tuple(judged)


def _worth(mine: int, theirs: int, through: tuple[int, ...]) -> int:
    """Count the discs in the fullest of some lines that has discs of one side at most."""
    fullest = 0
    for line in through:
        if not line & theirs or not line & mine:
            fullest = max(fullest, (line & (mine | theirs)).bit_count())
    return fullest
