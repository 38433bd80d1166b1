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
"""The boxes, and the first cell in reading order that the walker can reach."""


@lru_cache(maxsize=1 << 12)  # `value`, `think` and `facts` use it
def solution(room: Room, boxes: tuple[int, ...], walker: int) -> tuple[Push, ...] | None:
    """Return the pushes of a shortest solution; None if none is found."""
    estimate = far(room, boxes)
    if estimate is None:
        return None
    before: dict[Position, tuple[Push, Position]] = {}
    # Only the set of cells that the walker can reach matters, not its own cell: the least one stands for all.
    start: Position = (boxes, min(reached(room, boxes, walker)))
    best = {start: 0}
    # Estimated pushes in all, then those from there on, a number, the position, the walker. Of equal totals,
    # the position that is nearer to the goal comes first, then the one found first.
    queue = [(estimate, estimate, 0, start, walker)]
    count = 0
    done: set[Position] = set()
    while queue and len(done) < LIMIT:
        _, remaining, _, position, walker = heappop(queue)
        if position in done:
            continue
        done.add(position)
        if remaining == 0:
            return _trace(before, position)
        cost = best[position] + 1
        for push in pushes(room, position[0], walker):
            after = pushed(position[0], push)
            estimate = far(room, after)
            if estimate is None or frozen(room, after, push.to):
                continue
            following = after, min(reached(room, after, push.box))
            if cost < best.get(following, cost + 1):
                best[following] = cost
                before[following] = push, position
                count += 1
                heappush(queue, (cost + estimate, estimate, count, following, push.box))
    return None


def frozen(room: Room, boxes: tuple[int, ...], box: int) -> bool:
    """Return whether a box, off the goals or next to one that is, stands in a square of boxes and walls."""
    for down in (-room.size, room.size):
        for right in (-1, 1):
            square = (box, box + right, box + down, box + down + right)
            if all(room.walls[cell] or cell in boxes for cell in square):
                stuck = [cell for cell in square if cell in boxes]
                if not set(stuck) <= set(room.goals):
                    return True
    return False


def _trace(before: dict[Position, tuple[Push, Position]], position: Position) -> tuple[Push, ...]:
    """Collect the pushes that led to a position."""
    backwards = []
    while position in before:
        push, position = before[position]
        backwards.append(push)
    return tuple(reversed(backwards))
