"""The value of each column to the player.

The player's solver looks at one column at a time and does not search: what it finds can be said in a sentence
(`thought`).
"""

from functools import lru_cache
from typing import NamedTuple

from .board import THEY, YOU, Shape, columns, discs, free, lacking, lines, lines_through

WEIGHTS = (1, 3, 9, 27)
"""The value of an open line by the number of discs in it; the last weight is for that many or more."""


class Drop(NamedTuple):
    """What a disc of the player does in a column."""

    kind: str
    """``wins``, ``blocks`` a win of the opponent, ``forks``: two ways to win next; ``gives`` the opponent the
    win on top of it, ``full``, or ``worth``: nothing of these."""
    worth: int
    """The weights of the lines through its cell that one side does not block."""


@lru_cache(maxsize=1 << 12)
def drops(cells: bytes, shape: Shape) -> tuple[Drop, ...]:
    """Judge every column for the player."""
    mine = discs(cells, YOU)
    theirs = discs(cells, THEY)
    places = free(mine | theirs, shape)
    found = []
    for column in columns(shape):
        move = places & column
        found.append(Drop(_kind(mine, theirs, move, shape), _worth(mine, theirs, move, shape)))
    return tuple(found)


def _kind(mine: int, theirs: int, move: int, shape: Shape) -> str:
    if not move:
        return "full"
    wins = lacking(mine, lines(shape))
    threats = lacking(theirs, lines(shape))
    if move & wins:
        return "wins"
    if move & threats:
        return "blocks"
    if move >> shape.cols & threats:
        return "gives"
    more = wins | lacking(mine | move, lines_through(shape)[move])
    ways = more & free(mine | theirs | move, shape)
    return "forks" if ways.bit_count() >= 2 else "worth"


def _worth(mine: int, theirs: int, move: int, shape: Shape) -> int:
    if not move:
        return 0
    total = 0
    for line in lines_through(shape)[move]:
        own = (line & mine).bit_count()
        other = (line & theirs).bit_count()
        if not own or not other:
            total += WEIGHTS[min(own + other, len(WEIGHTS) - 1)]
    return total
