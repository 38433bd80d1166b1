"""The opponent, which searches some turns ahead, and the value of each column to the player.

The opponent is a negamax search with alpha-beta pruning (Knuth and Moore, 1975) that knows only won, lost and
undecided. The player's solver looks at one column at a time and does not search: what it finds can be said in
a sentence (`thought`).
"""

from functools import lru_cache
from typing import NamedTuple

from .board import THEY, YOU, Shape, discs, free, lines_through, wins

WEIGHTS = (1, 3, 9, 27)
"""The value of an open line by the number of discs in it; the last weight is for that many or more."""


@lru_cache(maxsize=1 << 12)
def replies(cells: bytes, shape: Shape, depth: int) -> tuple[int, ...]:
    """List the opponent's best columns, from 0, all of them equally good `depth` turns ahead."""
    theirs = discs(cells, THEY)
    yours = discs(cells, YOU)
    best: list[int] = []
    most = -depth
    places = free(cells, shape)
    for col, cell in enumerate(places):
        if cell < 0:
            continue
        if depth == 0:
            value = 0
        elif wins(theirs, cell, shape):
            value = depth
        else:
            places[col] = cell - shape.cols
            # The window reaches one below the best value so far, so that equally good moves are found.
            value = -_search(yours, theirs | 1 << cell, places, shape, depth - 1, -depth, 1 - most)
            places[col] = cell
        if value > most:
            best = []
            most = value
        if value == most:
            best.append(col)
    return tuple(best)


def _search(
    mine: int, theirs: int, places: list[int], shape: Shape, depth: int, alpha: int, beta: int
) -> int:
    """Return the turns left at the win that the side to move can force, negative for a loss, else 0."""
    if depth == 0:
        return 0
    for cell in places:
        if cell >= 0 and wins(mine, cell, shape):
            return depth
    if depth == 1 or max(places) < 0:
        return 0
    best = -depth
    for col, cell in enumerate(places):
        if cell < 0:
            continue
        places[col] = cell - shape.cols
        value = -_search(theirs, mine | 1 << cell, places, shape, depth - 1, -beta, -alpha)
        places[col] = cell
        best = max(best, value)
        alpha = max(alpha, value)
        if alpha >= beta:
            break
    return best


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
    places = free(cells, shape)
    return tuple(
        Drop(_kind(mine, theirs, places, col, shape), _worth(mine, theirs, cell, shape))
        for col, cell in enumerate(places)
    )


def _kind(mine: int, theirs: int, places: list[int], col: int, shape: Shape) -> str:
    cell = places[col]
    if cell < 0:
        return "full"
    if wins(mine, cell, shape):
        return "wins"
    if wins(theirs, cell, shape):
        return "blocks"
    above = cell - shape.cols
    if above >= 0 and wins(theirs, above, shape):
        return "gives"
    after = [above if place == cell else place for place in places]
    ways = sum(place >= 0 and wins(mine | 1 << cell, place, shape) for place in after)
    return "forks" if ways >= 2 else "worth"


def _worth(mine: int, theirs: int, cell: int, shape: Shape) -> int:
    if cell < 0:
        return 0
    total = 0
    for line in lines_through(shape)[cell]:
        own = (line & mine).bit_count()
        other = (line & theirs).bit_count()
        if not own or not other:
            total += WEIGHTS[min(own + other, len(WEIGHTS) - 1)]
    return total
