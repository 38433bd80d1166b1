"""Boards of Minesweeper: what is shown of them, and what opens.

A board as the player sees it is bytes, row by row: `HIDDEN`, or the number of mines around an open cell. A
cell is its index in these bytes.
"""

from functools import cache

HIDDEN = 9
"""The byte of a cell that is not open."""


@cache
def around(size: int) -> tuple[tuple[int, ...], ...]:
    """List the up to eight neighbours of every cell, in reading order."""
    all_neighbours = []
    for cell in range(size**2):
        row, col = divmod(cell, size)
        cols = range(max(col - 1, 0), min(col + 2, size))
        neighbours: list[int] = []
        for near_row in range(max(row - 1, 0), min(row + 2, size)):
            neighbours += [near_row * size + near_col for near_col in cols]
        neighbours.remove(cell)
        all_neighbours.append(tuple(neighbours))
    return tuple(all_neighbours)


def opened(shown: bytes, mines: frozenset[int], size: int, cell: int) -> bytes:
    """Open a cell without a mine; around a cell with no mines about it, all cells open, too."""
    board = bytearray(shown)
    waiting = [cell]
    while waiting:
        cell = waiting.pop()
        if board[cell] != HIDDEN:
            continue
        neighbours = around(size)[cell]
        board[cell] = len(mines.intersection(neighbours))
        if board[cell] == 0:
            waiting += neighbours
    return bytes(board)


def opened_cells(shown: bytes) -> int:
    """Count the open cells."""
    return len(shown) - shown.count(HIDDEN)
