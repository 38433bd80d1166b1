"""The rows and columns of a board, and their gaps: where a third tile would make a line of three."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from .board import Grid


class Line(NamedTuple):
    """A row or a column: its cells, and for each of them its neighbours in the lines before and after."""

    name: str
    cells: range
    beside: tuple[tuple[int, ...], ...]


class Gap(NamedTuple):
    """A cell of a line between or beside two equal tiles, which another tile would have to leave."""

    cell: int
    kind: int
    """The kind of the two tiles."""
    neighbours: tuple[int, ...]
    """Neighbours of the gap whose tile could be swapped into it: those beside the line, then those in it."""


@cache
def lines(grid: Grid) -> tuple[Line, ...]:
    """List the lines in the order of looking: columns from the left, then rows from the bottom up."""
    rows = [range(row * grid.cols, (row + 1) * grid.cols) for row in range(grid.rows)]
    cols = [range(col, grid.rows * grid.cols, grid.cols) for col in range(grid.cols)]
    ordered = [_line("column", col, cols) for col in range(grid.cols)]
    ordered += [_line("row", row, rows) for row in reversed(range(grid.rows))]
    return tuple(ordered)


def _line(word: str, index: int, all_lines: list[range]) -> Line:
    """Describe one line of all rows or all columns."""
    cells = all_lines[index]
    adjacent = all_lines[max(0, index - 1) : index] + all_lines[index + 1 : index + 2]
    beside: list[tuple[int, ...]] = []
    for position in range(len(cells)):
        beside.append(tuple([other[position] for other in adjacent]))
    return Line(f"{word} {index + 1}", cells, tuple(beside))


def gaps(cells: bytes, line: Line) -> list[Gap]:
    """List the gaps of a line. Three cells in a row have one if they hold two equal tiles and another one.

    Two threes can share a gap, as in ``x - x x``; it is one gap with the neighbours of both.
    """
    neighbours_of: dict[tuple[int, int], list[int]] = {}  # by the cell and the kind of a gap
    for start in range(len(line.cells) - 2):
        three = line.cells[start : start + 3]
        odd = _odd(cells, three)
        if odd is None:
            continue
        neighbours = list(line.beside[start + odd])
        if odd == 0 and start > 0:
            neighbours.append(line.cells[start - 1])
        if odd == 2 and start + 3 < len(line.cells):
            neighbours.append(line.cells[start + 3])
        kind = cells[three[odd - 1]]  # of the cell before the odd one, where -1 is the last cell
        known = neighbours_of.setdefault((three[odd], kind), [])
        known += [cell for cell in neighbours if cell not in known]
    return [Gap(cell, kind, tuple(neighbours)) for (cell, kind), neighbours in neighbours_of.items()]


def _odd(cells: bytes, three: Sequence[int]) -> int | None:
    """Return which of three cells holds another tile than the two equal ones; None where none does."""
    first = cells[three[0]]
    second = cells[three[1]]
    third = cells[three[2]]
    if not (first and second and third) or first == second == third:
        return None
    if first == second:
        return 2
    if first == third:
        return 1
    return 0 if second == third else None
