"""Boards of Connect Four: where discs fall, and which cells make a line.

A board is bytes, row by row from the top left: 0 is empty, `YOU` and `THEY` are discs. A set of cells is an
integer whose bit i is cell i: whether a line is full is then one comparison, and an opponent that looks four
turns ahead answers within a millisecond.
"""

from functools import cache, lru_cache
from typing import NamedTuple

YOU = 1
THEY = 2


def _marks(player: int) -> bytes:
    """Return the table for `bytes.translate` that turns discs of a player into ones, all else into zeros."""
    table = bytearray(b"0" * 256)
    table[player] = ord("1")
    return bytes(table)


MARKS = {YOU: _marks(YOU), THEY: _marks(THEY)}
"""Digits of a set of cells, by player: Python reads them faster than a loop adds the bits, by seven times."""


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
    found = []
    for cell in range(count):
        found.append(tuple(line for line in lines(shape) if line >> cell & 1))
    return tuple(found)


@cache
def surroundings(shape: Shape) -> tuple[int, ...]:
    """Return, for every cell, the set of the other cells that share a line with it."""
    found = []
    for cell, through in enumerate(lines_through(shape)):
        union = 0
        for line in through:
            union |= line
        found.append(union & ~(1 << cell))
    return tuple(found)


def discs(cells: bytes, player: int) -> int:
    """Return the set of cells that hold a player's discs."""
    marks = cells.translate(MARKS[player])
    return int(marks[::-1], 2)


def free(cells: bytes, shape: Shape) -> list[int]:
    """Return the cell on which a disc comes to rest, for each column; it is negative for a full one."""
    found = []
    for col in range(shape.cols):
        lowest = cells[col :: shape.cols].count(0) - 1
        found.append(lowest * shape.cols + col)
    return found


def wins(mine: int, cell: int, shape: Shape) -> bool:
    """Return whether a disc on a cell completes a line of the discs `mine`."""
    if (mine & surroundings(shape)[cell]).bit_count() < shape.connect - 1:
        return False  # too few discs near: true for most cells, in half the time of a check of all lines
    mine |= 1 << cell
    for line in lines_through(shape)[cell]:  # noqa: SIM110 - a generator doubles the time of a search
        if line & mine == line:
            return True
    return False


@lru_cache(maxsize=1 << 10)  # the progress after a turn is that before the next one
def longest(mine: int, theirs: int, shape: Shape) -> int:
    """Count the discs in the fullest line that the other side does not block."""
    return max([(line & mine).bit_count() for line in lines(shape) if not line & theirs], default=0)


def drop(cells: bytes, col: int, player: int, shape: Shape) -> tuple[bytes, bool]:
    """Drop a disc; return the board and whether it completes a line."""
    lowest = cells[col :: shape.cols].count(0) - 1
    cell = lowest * shape.cols + col
    line = wins(discs(cells, player), cell, shape)
    return cells[:cell] + bytes([player]) + cells[cell + 1 :], line
