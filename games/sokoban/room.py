"""A room of Sokoban: which cells the walker reaches, what it can push, and how far boxes are from the goals.

A cell is its index, row by row from 0. A border of walls surrounds every room, so the four neighbours of a
floor cell always exist.
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
    def offsets(self) -> tuple[int, int, int, int]:
        """Return what a step up, right, down and left adds to a cell."""
        return -self.size, 1, self.size, -1


class Push(NamedTuple):
    """A push of one cell: the cell of the box before and after it."""

    box: int
    to: int

    @property
    def stand(self) -> int:
        """Return the cell from which the walker pushes, on the other side of the box."""
        return 2 * self.box - self.to


@lru_cache(maxsize=1 << 12)  # `pushes`, the search and the thought need it
def reached(room: Room, boxes: tuple[int, ...], walker: int) -> frozenset[int]:
    """Return the cells that the walker reaches without a push."""
    offsets = room.offsets
    closed = bytearray(room.walls)  # a byte a cell: 1 for walls, boxes and the cells found so far
    for cell in (walker, *boxes):
        closed[cell] = 1
    cells = [walker]
    for cell in cells:  # the list grows while it is read
        for offset in offsets:
            neighbour = cell + offset
            if not closed[neighbour]:
                closed[neighbour] = 1
                cells.append(neighbour)
    return frozenset(cells)


@lru_cache(maxsize=1 << 12)  # `legal`, `step`, the search and the thought need it
def pushes(room: Room, boxes: tuple[int, ...], walker: int) -> tuple[Push, ...]:
    """List the possible pushes: by the box in reading order, then by the cell it goes to."""
    near = reached(room, boxes, walker)
    possible = []
    for box in boxes:
        for offset in sorted(room.offsets):
            to = box + offset
            if box - offset in near and not room.walls[to] and to not in boxes:
                possible.append(Push(box, to))
    return tuple(possible)


def pushed(boxes: tuple[int, ...], push: Push) -> tuple[int, ...]:
    """Return the cells of the boxes after a push, in order."""
    return tuple(sorted([push.to if box == push.box else box for box in boxes]))


def pushes_to(room: Room, cell: int) -> Iterator[Push]:
    """Yield the pushes that bring a box to a cell, in a room without other boxes."""
    for offset in room.offsets:
        push = Push(cell - offset, cell)
        # Behind a floor cell there is always a cell.
        if not room.walls[push.box] and not room.walls[push.stand]:
            yield push


@lru_cache(maxsize=1 << 10)  # walls and goals stay for an episode
def distances(room: Room) -> tuple[Mapping[int, int], ...]:
    """Compute, for each goal, how many pushes a lone box is away from it, by the cell of the box.

    A cell that no mapping holds is dead: a box there never reaches a goal.
    """
    by_goal = []
    for goal in room.goals:
        distance = {goal: 0}
        queue = deque([goal])
        while queue:
            cell = queue.popleft()
            for push in pushes_to(room, cell):
                if push.box not in distance:
                    distance[push.box] = distance[cell] + 1
                    queue.append(push.box)
        by_goal.append(distance)
    return tuple(by_goal)


@lru_cache(maxsize=1 << 14)  # a search has more positions than others, several with the same boxes
def far(room: Room, boxes: tuple[int, ...]) -> int | None:
    """Compute the pushes that the boxes need at least, each to a goal of its own; None if that cannot be.

    Neither boxes nor the walker count as obstacles.
    """
    # One goal after another gets a box. Keys: the boxes that have a goal so far, as bits; values: the least
    # sum of their pushes.
    cheapest = {0: 0}
    for distance in distances(room):
        after: dict[int, int] = {}
        for used, total in cheapest.items():
            for number, box in enumerate(boxes):
                using = used | 1 << number
                if using != used and box in distance:
                    cost = total + distance[box]
                    after[using] = min(cost, after.get(using, cost))
        cheapest = after
    return min(cheapest.values(), default=None)
