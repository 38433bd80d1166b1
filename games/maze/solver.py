"""The way in the known part of the maze: to the goal if it can be reached, else to a key, else to explore."""

from functools import lru_cache
from typing import NamedTuple

from .plan import GOAL, KEYS, UNSEEN, free, opened, steps, walk


class Way(NamedTuple):
    """A shortest way, from the walker to the place it leads to, both included."""

    places: tuple[int, ...]

    @property
    def target(self) -> int:
        """Return the place that the way leads to."""
        return self.places[-1]

    @property
    def corners(self) -> tuple[int, ...]:
        """Return the walker, the places where the way turns, and the target."""
        found = [self.places[0]]
        for last, place, then in zip(self.places, self.places[1:], self.places[2:], strict=False):
            if place - last != then - place:
                found.append(place)
        return (*found, self.target)


def edge(plan: bytes, size: int, place: int) -> bool:
    """Return whether one can walk on a place and something unseen lies beside it."""
    return free(plan[place]) and any(plan[place + step] == UNSEEN for step in steps(size).values())


@lru_cache(maxsize=1 << 12)
def way(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> Way:
    """Return the way to go in a plan that has `UNSEEN` cells. The first of equal ways is taken."""
    plan = opened(plan, held)
    before = walk(plan, size, walker)
    wanted = [place for place in before if plan[place] == GOAL]
    wanted += [place for place in before if plan[place] in KEYS]
    wanted += [place for place in before if edge(plan, size, place)]
    places = [wanted[0]]
    while places[-1] != walker:
        places.append(before[places[-1]])
    return Way(tuple(reversed(places)))


@lru_cache(maxsize=1 << 12)
def judged(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> dict[str, float]:
    """Compute the values in [0, 1] of all moves: 1 / (1 + k) for a detour of k steps."""
    target = way(plan, size, walker, held).target
    length = len(way(plan, size, walker, held).places) - 1
    plan = opened(plan, held)
    before = walk(plan, size, target)
    values = {}
    for move, step in steps(size).items():
        place = walker + step
        if free(plan[place]):
            far = 0
            while place != target:
                place = before[place]
                far += 1
            values[move] = 1 / (1 + far + 1 - length)
    return values
