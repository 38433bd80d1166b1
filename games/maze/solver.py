"""The route in the known part of a maze: to the goal if it can be reached, else to a key, else to explore."""

from functools import lru_cache
from typing import NamedTuple

from .plan import GOAL, KEYS, UNSEEN, free, offsets, opened, walk


class Route(NamedTuple):
    """A shortest path, from the walker to its target, both included."""

    cells: tuple[int, ...]

    @property
    def target(self) -> int:
        """Return the cell that the route leads to."""
        return self.cells[-1]

    @property
    def corners(self) -> tuple[int, ...]:
        """Return the walker, the cells where the route turns, and the target."""
        turns = []
        for before, cell, after in zip(self.cells, self.cells[1:], self.cells[2:], strict=False):
            if cell - before != after - cell:
                turns.append(cell)
        return (self.cells[0], *turns, self.target)


def edge(plan: bytes, size: int, cell: int) -> bool:
    """Return whether one can walk on a cell and something unseen lies beside it."""
    if not free(plan[cell]):
        return False
    beside = [plan[cell + offset] for offset in offsets(size).values()]
    return UNSEEN in beside


@lru_cache(maxsize=1 << 12)  # the values and the thought need it
def route(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> Route:
    """Return the route to take in a plan that has `UNSEEN` cells. The first of equal ones is taken."""
    plan = opened(plan, held)
    before = walk(plan, size, walker)
    target = _target(plan, size, list(before))
    backwards = [target]
    while backwards[-1] != walker:
        backwards.append(before[backwards[-1]])
    return Route(tuple(reversed(backwards)))


def _target(plan: bytes, size: int, near: list[int]) -> int:
    """Choose a target among the cells that can be walked to, the nearest first."""
    for cell in near:
        if plan[cell] == GOAL:
            return cell
    for cell in near:
        if plan[cell] in KEYS:
            return cell
    for cell in near:
        if edge(plan, size, cell):
            return cell
    raise AssertionError("a goal, a key or something unseen can be reached in every maze")


@lru_cache(maxsize=1 << 12)  # `values` and `think` use it
def judged(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> dict[str, float]:
    """Compute the values in [0, 1] of all moves: 1 / (1 + k) for a detour of k steps."""
    best = route(plan, size, walker, held)
    length = len(best.cells) - 1
    plan = opened(plan, held)
    # From the target, `before` leads each cell one step nearer to it.
    before = walk(plan, size, best.target)
    values = {}
    for move, offset in offsets(size).items():
        cell = walker + offset
        if not free(plan[cell]):
            continue
        distance = 0
        while cell != best.target:
            cell = before[cell]
            distance += 1
        values[move] = 1 / (1 + distance + 1 - length)
    return values
