"""Expectimax for 2048: my best move, averaged over every new tile that may come.

Boards are judged line by line: room, equal neighbours and order count, after an idea of Robert Xiao (2014).
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from .board import Move, moves, reached, slide, turned

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


def worth(move: Move, size: int, fours: float, depth: int = DEPTH) -> float:
    """Judge a move by my best replies to every new tile, `depth` of them at most."""
    cells, total = move.cells, 0.0
    places = [place for place, power in enumerate(cells) if not power]
    # The last reply is looked at only where the board is about to fill up: cheap there, and it matters.
    if not depth or (depth < DEPTH and len(places) > 1):
        total += sum([order(cells[place : place + size]) for place in range(0, size**2, size)])
        return total + sum([order(cells[column::size]) for column in range(size)]) + move.points / 50
    for place in places:
        for tile, chance in ((b"\1", 1 - fours), (b"\2", fours)):
            if chance:
                replies = moves(cells[:place] + tile + cells[place + 1 :], size).values()
                total += chance * max(
                    [worth(reply, size, fours, depth - 1) for reply in replies], default=DEAD
                )
    return total / len(places) + move.points / 50


@lru_cache(maxsize=1 << 10)
def values(cells: bytes, size: int, fours: float, target: int) -> Mapping[str, float]:
    """Judge every legal move: 1 if it makes the target, else in (0, 1)."""
    judged = {}
    for action, move in moves(cells, size).items():
        good = worth(move, size, fours)
        judged[action] = 1.0 if reached(move.cells, target) else (1 + good / (20 + abs(good))) / 2
    return judged


def reasons(cells: bytes, size: int, target: int, action: str) -> str:
    """Say what a move merges, the highest tiles first, and what it is good for."""
    kind, far = "column" if action in ("up", "down") else "row", action in ("right", "down")
    board, merges = turned(cells, size, action), []
    for line in range(size):
        number = size - line if far else line + 1
        merges += [(power, -number) for power in slide(board[line * size :][:size]).made]
    says = [
        f"{action} merges {2 ** (power - 1)} and {2 ** (power - 1)} in {kind} {-number}."
        for power, number in sorted(merges, reverse=True)[:2]
    ] or [f"{action} merges nothing."]
    after = moves(cells, size)[action].cells
    top = max(after)
    if reached(after, target):
        says.append(f"{2**top} is the goal.")
    elif top in (after[0], after[size - 1], after[-size], after[-1]):
        says.append(f"{2**top} is in a corner.")
    else:
        says.append(f"{after.count(0)} cells are empty.")
    return " ".join(says)
