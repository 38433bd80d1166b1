"""Expectimax for 2048: my best move, averaged over every new tile that may come.

Boards are judged line by line: room, equal neighbours and order count, after an idea of Robert Xiao (2014).
"""

from functools import lru_cache
from itertools import pairwise

from .board import Move, lines, moves, reached, slide

DEAD = -200.0
"""Worth of a board without a move."""
DEPTH = 2
"""Replies looked at."""


@lru_cache(maxsize=1 << 13)
def order(line: bytes) -> float:
    """Judge one row or column: empty cells and equal neighbours are good, ups and downs are bad."""
    falls = rises = pairs = 0
    for one, other in pairwise(line):
        pairs += one == other != 0
        # Squares: disorder among high tiles is harder to undo.
        falls += max(0, one * one - other * other)
        rises += max(0, other * other - one * one)
    return 0.27 * line.count(0) + 0.7 * pairs - min(falls, rises)


def judge(cells: bytes, size: int) -> float:
    """Judge a board: the sum over its rows and columns."""
    rows = [order(cells[place : place + size]) for place in range(0, size * size, size)]
    return sum(rows) + sum([order(cells[column::size]) for column in range(size)])


def worth(move: Move, size: int, fours: float, depth: int = DEPTH) -> float:
    """Judge a move by my best replies to every new tile, `depth` of them at most."""
    cells, points = move
    gain = points / 50
    places = [place for place, power in enumerate(cells) if not power]
    # The last reply is looked at only where the board is about to fill up: cheap there, and it matters.
    if not depth or (depth < DEPTH and len(places) > 1):
        return gain + judge(cells, size)
    total = 0.0
    for place in places:
        before, after = cells[:place], cells[place + 1 :]
        for tile, chance in ((b"\1", 1 - fours), (b"\2", fours)):
            if chance:
                replies = moves(before + tile + after, size).values()
                total += chance * max(
                    [worth(reply, size, fours, depth - 1) for reply in replies], default=DEAD
                )
    return gain + total / len(places)


def values(cells: bytes, size: int, fours: float, target: int) -> dict[str, float]:
    """Judge every legal move: in [0, 1], and 1 if it makes the target."""
    return {
        action: 1.0 if reached(move.cells, target) else bounded(worth(move, size, fours))
        for action, move in moves(cells, size).items()
    }


def bounded(worth: float) -> float:
    """Map any number into (0, 1), keeping the order."""
    return (1 + worth / (20 + abs(worth))) / 2


def reasons(cells: bytes, size: int, target: int, action: str) -> str:
    """Say what a move merges, the highest tiles first, and what it is good for."""
    kind = "column" if action in ("up", "down") else "row"
    merges = [
        (power, number)
        for number, line in enumerate(lines(cells, size, action), 1)
        for power in slide(line).made
    ]
    merges.sort(key=lambda merge: -merge[0])
    says = [
        f"{action} merges {1 << power - 1} and {1 << power - 1} in {kind} {number}."
        for power, number in merges[:2]
    ] or [f"{action} merges nothing."]
    after = moves(cells, size)[action].cells
    top = max(after)
    if reached(after, target):
        says.append(f"{1 << top} is the goal.")
    elif top in (after[0], after[size - 1], after[-size], after[-1]):
        says.append(f"{1 << top} is in a corner.")
    else:
        says.append(f"{after.count(0)} cells are empty.")
    return " ".join(says)
