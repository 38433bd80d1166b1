"""Boards of Connect Four: where discs fall, and which cells make a line.

A board is bytes, row by row from the top left: 0 is empty, `YOU` and `THEY` are discs. A set of cells is an
integer whose bit i is cell i: what holds for all cells of a line is then one operation, and the opponent can
look some turns ahead within a step.
"""

from collections.abc import Mapping
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
    all_lines = []
    for row in range(rows):
        for col in range(cols):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                last_row = row + down * (connect - 1)
                last_col = col + right * (connect - 1)
                if last_row < rows and 0 <= last_col < cols:
                    line = 0
                    for step in range(connect):
                        cell = (row + down * step) * cols + col + right * step
                        line |= 1 << cell
                    all_lines.append(line)
    return tuple(all_lines)


@cache
def lines_through(shape: Shape) -> Mapping[int, tuple[int, ...]]:
    """List the lines through a cell, by the set that holds this cell alone."""
    through = {}
    for cell in range(shape.rows * shape.cols):
        bit = 1 << cell
        through[bit] = tuple([line for line in lines(shape) if line & bit])
    return through


@cache
def columns(shape: Shape) -> tuple[int, ...]:
    """List the columns from the left, each as the set of its cells."""
    first = 0
    for row in range(shape.rows):
        first |= 1 << row * shape.cols
    return tuple([first << col for col in range(shape.cols)])


@cache
def bottom(shape: Shape) -> int:
    """Return the set of the cells of the last row."""
    return (1 << shape.cols) - 1 << (shape.rows - 1) * shape.cols


def discs(cells: bytes, player: int) -> int:
    """Return the set of cells that hold a player's discs."""
    marks = cells.translate(MARKS[player])
    # `int` reads the highest bit first, and cell 0 is the lowest bit.
    return int(marks[::-1], 2)


def free(taken: int, shape: Shape) -> int:
    """Return the cells on which a disc comes to rest: free ones on a disc or on the floor."""
    # A shift to the right by one row is a step up, since cell 0 is the top left one.
    return (taken >> shape.cols | bottom(shape)) & ~taken


def lacking(mine: int, through: tuple[int, ...]) -> int:
    """Return the cells that alone are missing from a line of the discs `mine`, out of some lines.

    Cells that the other side holds are among them.
    """
    completing = 0
    others = ~mine
    for line in through:
        rest = line & others
        if not rest & (rest - 1):  # x & (x - 1) removes the lowest bit of x: `rest` is one cell at most
            completing |= rest
    return completing


@lru_cache(maxsize=1 << 10)  # the progress after a turn is that before the next one
def longest(mine: int, theirs: int, shape: Shape) -> int:
    """Count the discs in the fullest line that the other side does not block."""
    open_lines = [line for line in lines(shape) if not line & theirs]
    return max([(line & mine).bit_count() for line in open_lines], default=0)


def drop(cells: bytes, col: int, player: int, shape: Shape) -> tuple[bytes, bool]:
    """Drop a disc; return the board and whether it completes a line."""
    lowest = cells[col :: shape.cols].count(0) - 1
    cell = lowest * shape.cols + col
    line = lacking(discs(cells, player), lines_through(shape)[1 << cell]) >> cell & 1
    return cells[:cell] + bytes([player]) + cells[cell + 1 :], bool(line)
