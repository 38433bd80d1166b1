"""A room of Sokoban: where the walker gets to, what it can push, and how far boxes are from the goals.

Cells are places from 0, row by row. A border of walls surrounds every room, so the four neighbours of a floor
cell always exist.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple


class Room(NamedTuple):
    """The constant part of a level: rows and columns, a byte a cell (1 for a wall), the goals in order."""

    size: int
    walls: bytes
    goals: tuple[int, ...]

    @property
    def steps(self) -> tuple[int, int, int, int]:
        """Return what a step up, right, down and left adds to a place."""
        return -self.size, 1, self.size, -1


class Push(NamedTuple):
    """A push of one cell: the place of the box before and after it."""

    box: int
    to: int

    @property
    def stand(self) -> int:
        """Return the place from which the walker pushes."""
        return 2 * self.box - self.to


@lru_cache(maxsize=1 << 12)
def reached(room: Room, boxes: tuple[int, ...], walker: int) -> frozenset[int]:
    """Return the places that the walker gets to without a push."""
    steps = room.steps
    closed = bytearray(room.walls)
    for place in (walker, *boxes):
        closed[place] = 1
    found = [walker]
    for place in found:
        for step in steps:
            near = place + step
            if not closed[near]:
                closed[near] = 1
                found.append(near)
    return frozenset(found)


@lru_cache(maxsize=1 << 12)
def pushes(room: Room, boxes: tuple[int, ...], walker: int) -> tuple[Push, ...]:
    """List the possible pushes: by the box in reading order, then by the cell it goes to."""
    near = reached(room, boxes, walker)
    found = []
    for box in boxes:
        for step in sorted(room.steps):
            to = box + step
            if box - step in near and not room.walls[to] and to not in boxes:
                found.append(Push(box, to))
    return tuple(found)


def pushed(boxes: tuple[int, ...], push: Push) -> tuple[int, ...]:
    """Return the places of the boxes after a push, in order."""
    return tuple(sorted([push.to if box == push.box else box for box in boxes]))


def moves_to(room: Room, place: int) -> Iterator[Push]:
    """Yield the pushes that bring a box to a place, in a room without other boxes."""
    for step in room.steps:
        push = Push(place - step, place)
        # Behind a floor cell there is always a cell.
        if not room.walls[push.box] and not room.walls[push.stand]:
            yield push


@lru_cache(maxsize=1 << 10)
def distances(room: Room) -> tuple[Mapping[int, int], ...]:
    """Compute, for each goal, how many pushes a lone box is away from it, by place.

    A place that no mapping holds is dead: a box there never reaches a goal.
    """
    found = []
    for goal in room.goals:
        away = {goal: 0}
        waiting = deque([goal])
        while waiting:
            place = waiting.popleft()
            for push in moves_to(room, place):
                if push.box not in away:
                    away[push.box] = away[place] + 1
                    waiting.append(push.box)
        found.append(away)
    return tuple(found)


@lru_cache(maxsize=1 << 14)
def far(room: Room, boxes: tuple[int, ...]) -> int | None:
    """Compute the pushes that the boxes need at least, each to a goal of its own; None if there is no way.

    Boxes and the walker are taken not to be in the way.
    """
    cheapest = {0: 0}  # by the boxes that have a goal so far, as bits: the least sum of their pushes
    for away in distances(room):
        after: dict[int, int] = {}
        for used, total in cheapest.items():
            for number, box in enumerate(boxes):
                using = used | 1 << number
                if using != used and box in away:
                    cost = total + away[box]
                    after[using] = min(cost, after.get(using, cost))
        cheapest = after
    return min(cheapest.values(), default=None)
