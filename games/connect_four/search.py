"""The opponent of Connect Four: a search that looks some turns ahead.

It is a negamax search with alpha-beta pruning (Knuth and Moore, 1975) in which a position is won, lost or
undecided. For both sides it keeps the cells that are missing from a line; a new disc adds some through its
own lines. So the next turn of either side is known without a search: a side that can win does, one that must
block has no choice, and a drop below a cell that wins for the other side loses.

The search is part of a step: some 2 copies of a frame at depth 3, and 8 at depth 5.
"""

from functools import cache, lru_cache

from .board import THEY, YOU, Shape, bottom, columns, discs, free, lacking, lines, lines_through


@lru_cache(maxsize=1 << 12)  # forks of one state often play the same column
def replies(cells: bytes, shape: Shape, depth: int) -> tuple[int, ...]:
    """List the opponent's best columns, from 0, all of them equally good `depth` turns ahead."""
    search = search_on(shape)
    mine = discs(cells, THEY)
    theirs = discs(cells, YOU)
    landings = free(mine | theirs, shape)
    wins = lacking(mine, lines(shape)) if depth else 0
    threats = lacking(theirs, lines(shape)) if depth else 0
    best: list[int] = []
    best_value = -depth
    for col, column in search.columns.items():
        move = landings & column
        if not move:
            continue
        if depth == 0:
            value = 0
        elif move & wins:
            value = depth
        else:
            # The window reaches one below the best value so far, so that equally good moves are found.
            more = wins | search.gained(mine, move)
            value = -search.value(theirs, mine | move, threats, more, depth - 1, -depth, 1 - best_value)
        if value > best_value:
            best = []
            best_value = value
        if value == best_value:
            best.append(col)
    return tuple(sorted(best))


class Search:
    """A search on boards of one shape."""

    def __init__(self, shape: Shape) -> None:
        self.cols = shape.cols
        self.through = lines_through(shape)
        self.bottom = bottom(shape)
        order = sorted(range(shape.cols), key=lambda col: abs(2 * col + 1 - shape.cols))
        self.columns = {col: columns(shape)[col] for col in order}
        """Columns from the middle, where most lines are: good moves first cut off more of the others."""
        self.gained = lru_cache(maxsize=1 << 12)(self._gained)
        """`_gained`, cached: the same disc is tried after many moves of the other side."""

    def _gained(self, mine: int, move: int) -> int:
        """Return the cells that alone are missing from the lines of a new disc, `move`, with `mine`."""
        return lacking(mine | move, self.through[move])

    def value(
        self, mine: int, theirs: int, wins: int, threats: int, depth: int, alpha: int, beta: int
    ) -> int:
        """Return the turns left at the win that the side to move can force, negative for a loss, else 0.

        `wins` are the cells that are missing from its lines, `threats` those of the other side.
        """
        taken = mine | theirs
        # As `free`, whose call would double the time.
        landings = (taken >> self.cols | self.bottom) & ~taken
        if depth and landings & wins:
            return depth
        if depth < 2 or not landings:
            return 0
        lost = 1 - depth  # the other side wins in its next turn
        blocks = landings & threats
        if blocks & (blocks - 1):  # two of them: only one can be blocked
            return lost
        # A disc right below a threat lets the other side win on top of it.
        moves = (blocks or landings) & ~(threats << self.cols)
        if not moves:
            return lost
        best = min(0, 3 - depth)  # an earlier loss was ruled out
        beta = min(beta, depth - 2)  # an earlier win was ruled out
        if best >= beta:
            return best
        alpha = max(alpha, best)
        for column in self.columns.values():
            move = moves & column
            if move:
                more = wins | self.gained(mine, move)
                value = -self.value(theirs, mine | move, threats, more, depth - 1, -beta, -alpha)
                if value > best:
                    best = value
                if value > alpha:
                    alpha = value
                if alpha >= beta:
                    break
        return best


@cache
def search_on(shape: Shape) -> Search:
    """Return the search on boards of a shape, made once."""
    return Search(shape)
