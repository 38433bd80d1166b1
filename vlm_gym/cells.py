"""Cells in words: ``(1,2)`` is row 1, column 2 from the top left, and one or two cells name an action."""

import re
from collections.abc import Mapping
from functools import cache
from itertools import combinations

_CELL = r"\s*\(\s*([1-9]\d?)\s*,\s*([1-9]\d?)\s*\)"
_ONE = re.compile(_CELL + r"\s*", re.ASCII)
_PAIR = re.compile(_CELL * 2 + r"\s*", re.ASCII)


@cache
def cell_names(rows: int, cols: int) -> tuple[str, ...]:
    """Name all cells of a board, row by row."""
    names = []
    for row in range(1, rows + 1):
        for col in range(1, cols + 1):
            names.append(f"({row},{col})")
    return tuple(names)


@cache
def pairs(rows: int, cols: int) -> tuple[str, ...]:
    """Name all pairs of cells, in reading order."""
    return tuple(map(" ".join, combinations(cell_names(rows, cols), 2)))


@cache
def neighbours(rows: int, cols: int) -> Mapping[str, tuple[int, int]]:
    """Name each cell with the one to its right and the one below, in reading order.

    Values are the indices of the two cells, row by row from 0.
    """
    names = cell_names(rows, cols)
    indices = dict[str, tuple[int, int]]()
    for cell in range(rows * cols):
        if (cell + 1) % cols:  # not in the last column
            indices[f"{names[cell]} {names[cell + 1]}"] = (cell, cell + 1)
        if cell + cols < rows * cols:  # not in the last row
            indices[f"{names[cell]} {names[cell + cols]}"] = (cell, cell + cols)
    return indices


def read_cell(words: str) -> str | None:
    """Spell one cell, given with any spaces, as ``(1,2)``; None if the words are something else."""
    match = _ONE.fullmatch(words)
    return f"({match[1]},{match[2]})" if match else None


def read_pair(words: str) -> str | None:
    """Spell two cells, given in either order and with any spaces, as ``(1,2) (3,4)``: in reading order.

    None if the words are something else.
    """
    match = _PAIR.fullmatch(words)
    if not match:
        return None
    row, col, other_row, other_col = map(int, match.groups())
    first, second = sorted([(row, col), (other_row, other_col)])
    return f"({first[0]},{first[1]}) ({second[0]},{second[1]})"
