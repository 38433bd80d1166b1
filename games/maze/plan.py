"""The plan of a maze, a byte a cell, row by row, and the part of it that a player has seen.

A cell is its index in the plan. Rooms are the cells with odd row and column, counted from 0. Between two
neighbouring rooms lies a link: floor, a wall or a door. All other cells are walls, those of the edge among
them, so the four neighbours of a cell that is not a wall always exist.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

FLOOR, WALL, GOAL, UNSEEN = range(4)
KEYS = (4, 5, 6)
"""Keys, by the number of their colour."""
DOORS = (7, 8, 9)
"""Doors, by the number of the colour of their key."""


def offsets(size: int) -> Mapping[str, int]:
    """Return what each move adds to a cell."""
    return {"up": -size, "right": 1, "down": size, "left": -1}


@lru_cache(maxsize=64)  # one entry a size of board
def rooms(size: int) -> tuple[int, ...]:
    """List all rooms, row by row."""
    cells: list[int] = []
    for row in range(1, size, 2):
        cells += range(row * size + 1, (row + 1) * size, 2)
    return tuple(cells)


class Link(NamedTuple):
    """The cell between two neighbouring rooms, and these rooms."""

    one: int
    cell: int
    other: int


@lru_cache(maxsize=64)  # one entry a size of board
def links(size: int) -> tuple[Link, ...]:
    """List all links, by the first room, right before down."""
    all_links = []
    for room in rooms(size):
        if room % size < size - 2:  # not in the last column of rooms
            all_links.append(Link(room, room + 1, room + 2))
        if room < size * (size - 2):  # not in the last row of rooms
            all_links.append(Link(room, room + size, room + 2 * size))
    return tuple(all_links)


def known(plan: bytes, seen: bytes) -> bytes:
    """Return the plan with `UNSEEN` for every cell that has not been seen (a byte each, 1 for seen)."""
    return bytes([content if flag else UNSEEN for content, flag in zip(plan, seen, strict=True)])


def opened(plan: bytes, held: tuple[int, ...]) -> bytes:
    """Return the plan without the keys that are held and the doors that they open."""
    for color in held:
        plan = plan.replace(bytes([KEYS[color]]), b"\0").replace(bytes([DOORS[color]]), b"\0")
    return plan


def free(content: int) -> bool:
    """Return whether one can walk on a cell with this content: floor, goal or key."""
    return content in (FLOOR, GOAL) or content in KEYS


def walk(plan: bytes, size: int, start: int) -> dict[int, int]:
    """Return, for each cell that can be walked to, the cell before it on a shortest path; nearest first."""
    before = {start: start}
    queue = [start]
    for cell in queue:  # breadth first: the queue grows while it is read
        for offset in offsets(size).values():
            neighbour = cell + offset
            if neighbour not in before and free(plan[neighbour]):
                before[neighbour] = cell
                queue.append(neighbour)
    return before


def solvable(plan: bytes, size: int, start: int) -> bool:
    """Return whether the goal can be reached, if keys are picked up on the way."""
    while True:
        contents = {plan[cell] for cell in walk(plan, size, start)}
        if GOAL in contents:
            return True
        held = tuple([color for color, key in enumerate(KEYS) if key in contents])
        if not held:
            return False
        plan = opened(plan, held)


def straight(plan: bytes, size: int) -> Iterator[tuple[int, int]]:
    """Yield all pairs of cells with a straight free path from the first to the second."""
    for start, content in enumerate(plan):
        if not free(content):
            continue
        for offset in offsets(size).values():
            end = start + offset
            while free(plan[end]):
                yield start, end
                end += offset
