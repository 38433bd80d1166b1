"""Boards of Minesweeper: what is shown of them, and what opens.

A board as the player sees it is bytes, row by row: `HIDDEN`, or the number of mines around an open cell.
"""

from functools import cache
from itertools import product

HIDDEN = 9
"""The byte of a cell that is not open."""


@cache
def around(size: int) -> tuple[tuple[int, ...], ...]:
    """List the places of the up to eight neighbours of every cell, in reading order."""
    found = []
    for place in range(size**2):
        row, col = divmod(place, size)
        rows = range(max(row - 1, 0), min(row + 2, size))
        cols = range(max(col - 1, 0), min(col + 2, size))
        near = [r * size + c for r, c in product(rows, cols)]
        near.remove(place)
        found.append(tuple(near))
    return tuple(found)


def opened(shown: bytes, mines: frozenset[int], size: int, place: int) -> bytes:
    """Open a cell without a mine; around a cell with no mines about it, all cells open, too."""
    board = bytearray(shown)
    waiting = [place]
    while waiting:
        at = waiting.pop()
        if board[at] != HIDDEN:
            continue
        board[at] = sum([near in mines for near in around(size)[at]])
        if board[at] == 0:
            waiting += around(size)[at]
    return bytes(board)


def opened_cells(shown: bytes) -> int:
    """Count the open cells."""
    return len(shown) - shown.count(HIDDEN)
