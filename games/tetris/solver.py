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
        field_col = placement.col + col
        surface[field_col] = max(surface[field_col], placement.base + row + 1)
    first = max(0, placement.col - 1)
    last = placement.col + len(piece.bottoms) + 1
    steps = sum([abs(height - next_height) for height, next_height in pairwise(surface[first:last])])
    return HOLE * placement.holes + steps + placement.base


def cheapest(field: Field, kind: str) -> list[tuple[str, int]]:
    """Find for every way to turn a piece its cheapest placement, the leftmost of equal ones, and the cost."""
    heights = field.heights()
    by_turns: dict[int, tuple[str, int]] = {}
    for name, placement in placements(field, kind).items():
        price = cost(heights, kind, placement)
        turned = placement.turned
        if turned not in by_turns or price < by_turns[turned][1]:
            by_turns[turned] = name, price
    return [by_turns[turned] for turned in sorted(by_turns)]


def reaching(field: Field, kind: str, remaining: int) -> list[str]:
    """List the placements that clear the rows that remain to the goal."""
    if remaining > len(turns(kind)[0].blocks):
        return []  # a piece of four blocks clears four rows at most
    names = []
    for name, placement in placements(field, kind).items():
        _, cleared = put(field, kind, placement)
        if cleared >= remaining:
            names.append(name)
    return names


def judged(field: Field, kind: str, remaining: int) -> Mapping[str, float]:
    """Compute the value in (0, 1] of every placement; 1 for those that reach the goal, at most 0.9 else."""
    heights = field.heights()
    goal = reaching(field, kind, remaining)
    values = {}
    for name, placement in placements(field, kind).items():
        price = cost(heights, kind, placement)
        values[name] = 1.0 if name in goal else BELOW * HALF / (HALF + price)
    return values
