"""The fewest presses that make all lamps dark.

The presses of the first row decide all others: a lamp that is still lit after the presses of its own row can
only be switched off from the cell below it. So all first rows are tried, 2 ** size of them.
"""

from functools import lru_cache

from .board import press


def chase(cells: bytes, size: int, first: int) -> tuple[list[int], int]:
    """Press the first row as given, then in every row the cells below lit lamps.

    Rows are bit masks, bit c for column c from 0. Returns the presses of each row, and the lamps that stay
    lit in the last row.
    """
    full = (1 << size) - 1
    presses = [first]
    above = 0
    for row in range(size):
        now = presses[-1]
        lamps = sum([lamp << col for col, lamp in enumerate(cells[row * size : row * size + size])])
        lit = lamps ^ now ^ (now << 1 & full) ^ now >> 1 ^ above
        above = now
        presses.append(lit)
    left = presses.pop()
    return presses, left


@lru_cache(maxsize=1 << 12)
def fewest(cells: bytes, size: int) -> tuple[int, ...]:
    """List the cells to press, row by row from 0. Raises `ValueError` where no presses suffice."""
    ways = [chase(cells, size, first) for first in range(1 << size)]
    solutions = [presses for presses, left in ways if not left]
    if not solutions:
        raise ValueError(f"the lamps {cells.hex()} cannot all be made dark; deal them by presses")
    best = min(solutions, key=lambda presses: sum([row.bit_count() for row in presses]))
    return tuple([row * size + col for row in range(size) for col in range(size) if best[row] >> col & 1])


def judged(cells: bytes, size: int) -> list[float]:
    """Judge every press: 1 if fewer presses are needed after it, 0.5 if as many, 0 if more."""
    needed = len(fewest(cells, size))
    after = [len(fewest(press(cells, size, place), size)) for place in range(size**2)]
    return [(1 + needed - then) / 2 for then in after]
