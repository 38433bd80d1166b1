"""Solve a level of Sokoban in the fewest pushes: A* (Hart, Nilsson and Raphael, 1968) with dead squares.

The estimate is the least number of pushes that the boxes need, each to a goal of its own, as if nothing else
were in the way. A box on a dead square, and boxes that block each other in a square of four, end a branch.
"""

from functools import lru_cache
from heapq import heappop, heappush

from .room import Push, Room, far, pushed, pushes, reached

LIMIT = 6000
"""Search budget in positions; a position that needs more counts as lost."""

Position = tuple[tuple[int, ...], int]
"""The boxes, and the place of the walker."""


@lru_cache(maxsize=1 << 12)
def solution(room: Room, boxes: tuple[int, ...], walker: int) -> tuple[Push, ...] | None:
    """Return the pushes of a shortest solution; None if none is found."""
    start = far(room, boxes)
    if start is None:
        return None
    before: dict[Position, tuple[Push, Position]] = {}
    first: Position = (boxes, min(reached(room, boxes, walker)))
    best = {first: 0}
    # Of equal estimates, the one that is nearer to the goal comes first, then the one found first.
    queue = [(start, start, 0, first, walker)]
    found = 0
    done: set[Position] = set()
    while queue and len(done) < LIMIT:
        _, left, _, position, walker = heappop(queue)
        if position in done:
            continue
        done.add(position)
        if left == 0:
            return _trace(before, position)
        cost = best[position] + 1
        for push in pushes(room, position[0], walker):
            after = pushed(position[0], push)
            estimate = far(room, after)
            if estimate is None or frozen(room, after, push.to):
                continue
            # Only the set of cells that the walker can reach matters, not its place.
            then = after, min(reached(room, after, push.box))
            if cost < best.get(then, cost + 1):
                best[then] = cost
                before[then] = push, position
                found += 1
                heappush(queue, (cost + estimate, estimate, found, then, push.box))
    return None


def frozen(room: Room, boxes: tuple[int, ...], box: int) -> bool:
    """Return whether a box, off the goals or next to one that is, stands in a square of boxes and walls."""
    for down in (-room.size, room.size):
        for right in (-1, 1):
            square = (box, box + right, box + down, box + down + right)
            if all(room.walls[place] or place in boxes for place in square):
                stuck = [place for place in square if place in boxes]
                if any(place not in room.goals for place in stuck):
                    return True
    return False


def _trace(before: dict[Position, tuple[Push, Position]], position: Position) -> tuple[Push, ...]:
    """Collect the pushes that led to a position."""
    found = []
    while position in before:
        push, position = before[position]
        found.append(push)
    return tuple(reversed(found))
