"""Which equal tiles a path joins, by masks of the free cells of rows and columns.

A board is bytes, row by row: the kind of each tile, 0 where there is none. In the mask of a row, bit c is
column c, counted from 1; bits 0 and cols + 1 are the free ring around the board. Columns have masks alike.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, combinations
from operator import itemgetter
from typing import NamedTuple

from vlm_gym.cells import cell_names

Cells = bytes | bytearray

_FREE = b"1" + b"0" * 255


class Link(NamedTuple):
    """Two equal tiles, in reading order, that a path of so many `turns` joins, the fewest there are.

    Masks tell in which `columns` a path may go from one tile's row to the other's, and in which `rows` from
    column to column. `distance` is in steps, across and down.
    """

    first: int
    second: int
    turns: int
    distance: int
    columns: int
    rows: int
    action: str


def links(cells: Cells, cols: int, bends: int, walls: Cells | None = None) -> list[Link]:
    """List the pairs of equal tiles that a path of at most `bends` turns (0 to 2) joins, in reading order.

    `walls` is the board whose tiles are in the way, if that is another one.
    """
    free = bytes(cells if walls is None else walls).translate(_FREE)[::-1]
    across = [int(b"1%b1" % free[at : at + cols], 2) for at in range(len(free) - cols, -1, -cols)]
    down = [int(b"1%b1" % free[at::cols], 2) for at in range(cols - 1, -1, -1)]
    sides = [_reaches(line, len(down)) for line in across]
    overs = _between(across)
    ups = [_reaches(line, len(across)) for line in down]
    alongs = _between(down)
    kinds: dict[int, list[tuple[int, int, int, int, int, list[int], list[int]]]] = {}
    for cell, kind in enumerate(cells):
        if kind:
            row, col = divmod(cell, cols)
            tile = (cell, row, col, sides[row][col], ups[col][row], overs[row], alongs[col])
            kinds.setdefault(kind, []).append(tile)
    joined = []
    name = cell_names(len(across), cols)
    for one, other in chain.from_iterable(combinations(tiles, 2) for tiles in kinds.values()):
        a, row, col, side, up, over, along = one
        b, row_b, col_b, side_b, up_b, *_ = other
        # A path goes across, down, across, or down, across, down; fewer turns are legs of no length.
        columns = side & side_b & over[row_b]
        rows = up & up_b & along[col_b]
        if columns or rows:
            straight = columns >> col + 1 & 1 if col == col_b else row == row_b and rows >> row + 1 & 1
            turns = 0 if straight else 1 if columns & (2 << col | 2 << col_b) else 2
            if turns <= bends:
                distance = row_b - row + abs(col_b - col)
                joined.append(Link(a, b, turns, distance, columns, rows, f"{name[a]} {name[b]}"))
    joined.sort()
    return joined


def ways(link: Link, cols: int, bends: int) -> list[str]:
    """Name the lines along which paths of at most `bends` turns join a pair: ``row 2``, ``column 0``.

    A path leaves both tiles at right angles to such a line, or in it. The line of the straightest path comes
    first, and of several that of the shortest.
    """
    row = link.first // cols + 1
    col = link.first % cols + 1
    row_b = link.second // cols + 1
    col_b = link.second % cols + 1
    paths: list[tuple[int, int, str]] = []
    if row != row_b:
        for column in _set_bits(link.columns):
            turns = (column != col) + (column != col_b)
            paths.append((turns, abs(column - col) + abs(column - col_b), f"column {column}"))
    if col != col_b:
        for line in _set_bits(link.rows):
            turns = (line != row) + (line != row_b)
            paths.append((turns, abs(line - row) + abs(line - row_b), f"row {line}"))
    paths.sort(key=itemgetter(0, 1))
    return [name for turns, _, name in paths if turns <= bends]


def _set_bits(mask: int) -> list[int]:
    """List the bits that are set."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def take(cells: Cells, pairs: Iterable[Link]) -> bytes:
    """Remove pairs one after the other. A pair of which a tile is gone is skipped."""
    remaining = bytearray(cells)
    for first, second, *_ in pairs:
        if remaining[first] and remaining[second]:
            remaining[first] = 0
            remaining[second] = 0
    return bytes(remaining)


@lru_cache(maxsize=4096)
def _reaches(free: int, length: int) -> tuple[int, ...]:
    """For each place of a line: the mask of the place and of all free cells up to the next tiles."""
    masks = []
    for place in range(1, length + 1):
        tiles = ~free & (1 << place) - 1
        above = free >> place + 1
        masks.append((2 << place) - (1 << tiles.bit_length()) | (above ^ above + 1) >> 1 << place + 1)
    return tuple(masks)


def _between(lines: list[int]) -> list[list[int]]:
    """For any two lines: the mask of what is free in all lines strictly between them."""
    table = [[-1] * len(lines) for _ in lines]
    for start in range(len(lines)):
        free = -1
        for end in range(start + 1, len(lines)):
            table[start][end] = table[end][start] = free
            free &= lines[end]
    return table
