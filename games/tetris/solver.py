"""What a placement costs: holes, steps in the surface, and height, all from the heights of the columns.

    cost = HOLE * holes + steps + base

`holes` are empty cells that the piece covers, `steps` is the sum of the differences between neighbouring
columns under and beside the piece once it lies there, and `base` is the height of its lowest row.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from .board import Field, Placement, placements, put, turns

HOLE = 4
HALF = 10
"""The cost at which the value of a placement is half of what it is at no cost."""
BELOW = 0.9
"""The value of a placement without cost that does not reach the goal."""


def cost(heights: Sequence[int], kind: str, placement: Placement) -> int:
    """Compute the cost of a placement, 0 or more."""
    piece = turns(kind)[placement.turned]
    surface = list(heights)
    for row, col in piece.blocks:
        at = placement.col + col
        surface[at] = max(surface[at], placement.base + row + 1)
    first = max(0, placement.col - 1)
    last = placement.col + len(piece.bottoms) + 1
    steps = sum(abs(left - right) for left, right in pairwise(surface[first:last]))
    return HOLE * placement.holes + steps + placement.base


def cheapest(field: Field, kind: str) -> list[tuple[str, int]]:
    """Find for every way to turn a piece its cheapest placement, the leftmost of equal ones, and the cost."""
    heights = field.heights()
    found: dict[int, tuple[str, int]] = {}
    for name, placement in placements(field, kind).items():
        price = cost(heights, kind, placement)
        turned = placement.turned
        if turned not in found or price < found[turned][1]:
            found[turned] = name, price
    return [found[turned] for turned in sorted(found)]


def reaching(field: Field, kind: str, left: int) -> list[str]:
    """List the placements that clear the rows left to the goal."""
    if left > len(turns(kind)[0].blocks):
        return []  # a piece of four blocks clears four rows at most
    found = placements(field, kind)
    return [name for name, placement in found.items() if put(field, kind, placement)[1] >= left]


def judged(field: Field, kind: str, left: int) -> Mapping[str, float]:
    """Compute the value in (0, 1] of every placement; 1 for those that reach the goal, at most 0.9 else."""
    heights = field.heights()
    goal = reaching(field, kind, left)
    values = {}
    for name, placement in placements(field, kind).items():
        price = cost(heights, kind, placement)
        values[name] = 1.0 if name in goal else BELOW * HALF / (HALF + price)
    return values
