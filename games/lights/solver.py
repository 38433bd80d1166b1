"""The fewest presses that make all lamps dark: every first row is tried, and the lamps are chased down.

The presses of the first row decide all others: a lamp that is still lit after the presses of its own row can
only be switched off from the cell below it.
"""

from collections.abc import Sequence
from functools import lru_cache

from .board import press


def chase(cells: bytes, size: int, first: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """Press columns of the first row, then in every row the cells below lit lamps.

    Columns count from 0. Returns the columns pressed in each row, and those still lit in the last row.
    """
    presses = [list(first)]
    for row in range(size):
        for col in presses[row]:
            cells = press(cells, size, row * size + col)
        lamps = cells[row * size : row * size + size]
        presses.append([col for col, lamp in enumerate(lamps) if lamp])
    lit = presses.pop()
    return presses, lit


@lru_cache(maxsize=1 << 12)
def solutions(cells: bytes, size: int) -> tuple[frozenset[int], ...]:
    """List all sets of cells to press, from 0, after which no lamp is lit; none where nothing helps."""
    all_sets = []
    for number in range(2**size):
        # The bits of the number are the columns of the first row, pressed or not.
        first = [col for col in range(size) if number >> col & 1]
        presses, lit = chase(cells, size, first)
        if not lit:
            pressed = set[int]()
            for row, cols in enumerate(presses):
                pressed.update([row * size + col for col in cols])
            all_sets.append(frozenset(pressed))
    return tuple(all_sets)


def fewest(cells: bytes, size: int) -> list[int]:
    """List the cells to press, row by row from 0. Raises `ValueError` where no presses suffice."""
    all_sets = solutions(cells, size)
    if not all_sets:
        raise ValueError(f"the lamps {cells.hex()} cannot all be made dark; deal them by presses")
    best = min(all_sets, key=len)
    return sorted(best)


def judged(cells: bytes, size: int) -> list[float]:
    """Judge every press: 1 if fewer presses are needed after it, 0.5 if as many, 0 if more.

    A press twice changes nothing. So a solution takes one press less after one that is in it, else one more.
    """
    needed = len(fewest(cells, size))
    judgements = []
    for cell in range(size**2):
        counts = []
        for solution in solutions(cells, size):
            counts.append(len(solution) - 1 if cell in solution else len(solution) + 1)
        judgements.append((1 + needed - min(counts)) / 2)
    return judgements
