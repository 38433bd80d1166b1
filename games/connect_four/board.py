"""Boards of Connect Four: where discs fall, and which cells make a line.

A board is bytes, row by row from the top left: 0 is empty, `YOU` and `THEY` are discs. A set of cells is an
integer whose bit i is cell i: whether a line is full is then one comparison, and an opponent that looks four
turns ahead answers within a millisecond.
"""

from functools import cache
from typing import NamedTuple

YOU = 1
THEY = 2


class Shape(NamedTuple):
    """The size of a board, and how many discs make a line."""

    rows: int
    cols: int
    connect: int


@cache
def lines(shape: Shape) -> tuple[int, ...]:
    """List every line of `connect` cells, as a set of cells."""
    rows, cols, connect = shape
    found = []
    for row in range(rows):
        for col in range(cols):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                last_row = row + down * (connect - 1)
                last_col = col + right * (connect - 1)
                if last_row < rows and 0 <= last_col < cols:
                    cells = [(row + down * k) * cols + col + right * k for k in range(connect)]
                    found.append(sum(1 << cell for cell in cells))
    return tuple(found)


@cache
def lines_through(shape: Shape) -> tuple[tuple[int, ...], ...]:
    """List, for every cell, the lines through it."""
    count = shape.rows * shape.cols
    return tuple(tuple(line for line in lines(shape) if line >> cell & 1) for cell in range(count))


def discs(cells: bytes, player: int) -> int:
    """Return the set of cells that hold a player's discs."""
    return sum(1 << cell for cell, disc in enumerate(cells) if disc == player)


def free(cells: bytes, shape: Shape) -> list[int]:
    """Return the cell on which a disc comes to rest, for each column; it is negative for a full one."""
    found = []
    for col in range(shape.cols):
        taken = sum(disc > 0 for disc in cells[col :: shape.cols])
        found.append((shape.rows - 1 - taken) * shape.cols + col)
    return found


def wins(mine: int, cell: int, shape: Shape) -> bool:
    """Return whether a disc on a cell completes a line of the discs `mine`."""
    mine |= 1 << cell
    for line in lines_through(shape)[cell]:  # noqa: SIM110 - a generator doubles the time of a search
        if line & mine == line:
            return True
    return False


def longest(mine: int, theirs: int, shape: Shape) -> int:
    """Count the discs in the fullest line that the other side does not block."""
    return max([(line & mine).bit_count() for line in lines(shape) if not line & theirs], default=0)


def drop(cells: bytes, col: int, player: int, shape: Shape) -> tuple[bytes, bool]:
    """Drop a disc; return the board and whether it completes a line."""
    cell = free(cells, shape)[col]
    line = wins(discs(cells, player), cell, shape)
    return cells[:cell] + bytes([player]) + cells[cell + 1 :], line
