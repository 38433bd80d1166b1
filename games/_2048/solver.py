"""Values of the moves of 2048: by points two moves deep, or by search.

In 100 moves on 4 x 4, points two moves deep score more than search does (1,066 against 1,043 in the mean of
100 games), and they make 16, 64 and 128 as often. Search does better on a crowded board far from its goal,
as on 3 x 3, and where the goal is 256 or more. See Robert Xiao (2014) on expectimax for 2048.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from .board import empty_cells, moves, reached

NEAR = 32
"""Goals up to this tile are reached by points alone."""
LONG = 256
"""Goals from this tile up take so many moves that every move is searched."""
NO_REPLY = -200
"""The worth of a board on which no move is left: less than that of any other."""
CROWDED = 3
"""A board is crowded where some move leaves at most so many empty cells."""
HALF = 16
"""Points whose value is 0.5."""


def aim(target: int, turns: int) -> int:
    """Return the tile to play for: the target, or without one the highest tile that the turns allow."""
    # Each turn brings a tile of 2.2 in the mean; a power of two that they add up to can be made.
    return target or 1 << (2 * turns).bit_length() - 1


def searched(cells: bytes, size: int, goal: int) -> bool:
    """Return whether moves are judged by search: the goal is long, or far and the board crowded."""
    if goal <= NEAR or goal >= LONG:
        return goal >= LONG
    return any(after.count(0) <= CROWDED for after, _ in moves(cells, size).values())


def next_points(after: bytes, size: int) -> int:
    """Return the points of the best move on a board after a move, before a new tile comes."""
    return max([points for _, points in moves(after, size).values()], default=0)


@lru_cache(maxsize=1 << 10)  # `values`, `think` and `facts` use it
def judged(cells: bytes, size: int, target: int, fours: float, goal: int) -> Mapping[str, float]:
    """Compute the values in [0, 1] of the moves that change a board; 1 for a move that makes the target.

    `goal` is the tile to play for, see `aim`.
    """
    search = searched(cells, size, goal)
    values: dict[str, float] = {}
    for action, (after, points) in moves(cells, size).items():
        if reached(after, target):
            values[action] = 1.0
        elif search:
            # The search has no bounds: any number is mapped into (0, 1), and 0 to 0.5.
            unbounded = worth(after, points, size, fours)
            values[action] = (1 + unbounded / (20 + abs(unbounded))) / 2
        else:
            total = points + next_points(after, size)
            values[action] = total / (total + HALF)
    return values


@lru_cache(maxsize=1 << 12)  # several moves lead to the same boards
def worth(cells: bytes, points: int, size: int, fours: float, depth: int = 0) -> float:
    """Compute the worth of a slide by expectimax: the best replies, averaged over every new tile."""
    empty = empty_cells(cells)
    # The second reply is searched only where the board is about to fill up: cheap there, and it matters.
    if depth == 2 or (depth and len(empty) > 1):
        rows = sum([order(cells[start : start + size]) for start in range(0, size**2, size)])
        columns = sum([order(cells[column::size]) for column in range(size)])
        return rows + columns + points / 50
    total = 0.0
    for cell in empty:
        for tile, chance in ((b"\1", 1 - fours), (b"\2", fours)):
            if not chance:
                continue
            best = None
            for after, scored in moves(cells[:cell] + tile + cells[cell + 1 :], size).values():
                reply = worth(after, scored, size, fours, depth + 1)
                if best is None or reply > best:
                    best = reply
            total += chance * (NO_REPLY if best is None else best)
    return total / len(empty) + points / 50


@lru_cache(maxsize=1 << 13)  # the boards of a search share most of their lines
def order(line: bytes) -> float:
    """Compute the worth of a row or column by room, equal neighbours and order, after Robert Xiao (2014)."""
    pairs = 0
    falls = 0
    rises = 0
    for tile, next_tile in pairwise(line):
        pairs += tile == next_tile != 0
        # Squares: disorder among high tiles is harder to undo.
        falls += max(0, tile * tile - next_tile * next_tile)
        rises += max(0, next_tile * next_tile - tile * tile)
    return 0.27 * line.count(0) + 0.7 * pairs - min(falls, rises)
