"""The value of each column to the player.

The player's solver looks at one column at a time and does not search: what it finds can be said in a sentence
(`thought`).
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


@lru_cache(maxsize=1 << 12)
def drops(cells: bytes, shape: Shape) -> tuple[Drop, ...]:
    """Judge every column for the player."""
    mine = discs(cells, YOU)
    theirs = discs(cells, THEY)
    places = free(mine | theirs, shape)
    wins = lacking(mine, lines(shape))
    threats = lacking(theirs, lines(shape))
    found = []
    for column in columns(shape):
        move = places & column
        cell = (move or column & -column).bit_length() - 1
        if not move:
            found.append(Drop("full", cell, 0))
        elif move & wins:
            found.append(Drop("wins", cell, 0))
        elif move & threats:
            found.append(Drop("blocks", cell, 0))
        elif move >> shape.cols & threats:
            found.append(Drop("gives", cell, 0))
        else:
            through = lines_through(shape)[move]
            next_places = free(mine | theirs | move, shape)
            ways = next_places & (wins | lacking(mine | move, through))
            kind = "forks" if ways.bit_count() > 1 else "worth"
            found.append(Drop(kind, cell, _worth(mine, theirs, through)))
    return tuple(found)


def _worth(mine: int, theirs: int, through: tuple[int, ...]) -> int:
    """Count the discs in the fullest of some lines that has discs of one side at most."""
    most = 0
    for line in through:
        if not line & theirs or not line & mine:
            most = max(most, (line & (mine | theirs)).bit_count())
    return most
