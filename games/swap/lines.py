"""The rows and columns of a board, and their gaps: where a third tile would make a line of three."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from .board import Grid


class Line(NamedTuple):
    """A row or a column: its cells, and for each of them its neighbours in the lines before and after."""

    name: str
    places: range
    beside: tuple[tuple[int, ...], ...]


class Gap(NamedTuple):
    """A cell of a line between or beside two equal tiles, which another tile would have to leave."""

    place: int
    kind: int
    """The kind of the two tiles."""
    near: tuple[int, ...]
    """Neighbours of the gap whose tile could be swapped into it: those beside the line, then those in it."""


@cache
def lines(grid: Grid) -> tuple[Line, ...]:
    """List the lines in the order of looking: columns from the left, then rows from the bottom up."""
    rows = [range(row * grid.cols, (row + 1) * grid.cols) for row in range(grid.rows)]
    cols = [range(col, grid.rows * grid.cols, grid.cols) for col in range(grid.cols)]
    across = [_line(f"row {number}", number, rows) for number in range(grid.rows, 0, -1)]
    down = [_line(f"column {number}", number, cols) for number in range(1, grid.cols + 1)]
    return (*down, *across)


def _line(name: str, number: int, among: Sequence[range]) -> Line:
    """Describe the line of this number, from 1, among all rows or all columns."""
    places = among[number - 1]
    near = [among[other] for other in (number - 2, number) if 0 <= other < len(among)]
    beside: list[tuple[int, ...]] = []
    for at in range(len(places)):
        beside.append(tuple([other[at] for other in near]))
    return Line(name, places, tuple(beside))


def gaps(cells: bytes, line: Line) -> list[Gap]:
    """Find the gaps of a line: three cells in a row that hold two equal tiles and another one have one.

    Two threes can share a gap, as in ``x - x x``; it is one gap with the neighbours of both.
    """
    places = line.places
    found: dict[tuple[int, int], list[int]] = {}
    for start in range(len(places) - 2):
        three = places[start : start + 3]
        odd = _odd(cells, three)
        if odd is None:
            continue
        near = list(line.beside[start + odd])
        if odd == 0 and start > 0:
            near.append(places[start - 1])
        if odd == 2 and start + 3 < len(places):
            near.append(places[start + 3])
        kind = cells[three[odd - 1]]
        known = found.setdefault((three[odd], kind), [])
        known += [place for place in near if place not in known]
    return [Gap(place, kind, tuple(near)) for (place, kind), near in found.items()]


def _odd(cells: bytes, three: Sequence[int]) -> int | None:
    """Return which of three cells holds another tile than the two equal ones; None where none does."""
    first, second, third = (cells[place] for place in three)
    if not (first and second and third) or first == second == third:
        return None
    if first == second:
        return 2
    if first == third:
        return 1
    return 0 if second == third else None
