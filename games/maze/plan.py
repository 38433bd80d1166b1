"""The plan of a maze, a byte a cell, row by row, and the part of it that a player has seen.

Rooms are the cells with odd row and column, counted from 0. Between two neighbouring rooms lies a link:
floor, a wall or a door. All other cells are walls.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

FLOOR, WALL, GOAL, UNSEEN = range(4)
KEYS = (4, 5, 6)
"""Keys, by the number of their colour."""
DOORS = (7, 8, 9)
"""Doors, by the number of the colour of their key."""


def steps(size: int) -> Mapping[str, int]:
    """Return what a move adds to a place."""
    return {"up": -size, "right": 1, "down": size, "left": -1}


@lru_cache(maxsize=64)
def rooms(size: int) -> tuple[int, ...]:
    """List the places of all rooms."""
    return tuple(row * size + col for row in range(1, size, 2) for col in range(1, size, 2))


class Link(NamedTuple):
    """The place between two neighbouring rooms."""

    one: int
    place: int
    other: int


@lru_cache(maxsize=64)
def links(size: int) -> tuple[Link, ...]:
    """List all links, by the first room, right before down."""
    found = []
    for room in rooms(size):
        if room % size < size - 2:
            found.append(Link(room, room + 1, room + 2))
        if room < size * (size - 2):
            found.append(Link(room, room + size, room + 2 * size))
    return tuple(found)


def known(plan: bytes, seen: bytes) -> bytes:
    """Return the plan with `UNSEEN` for every cell that has not been seen (a byte each, 1 for seen)."""
    return bytes(cell if known else UNSEEN for cell, known in zip(plan, seen, strict=True))


def opened(plan: bytes, held: tuple[int, ...]) -> bytes:
    """Return the plan without the keys that are held and the doors that they open."""
    for color in held:
        plan = plan.replace(bytes([KEYS[color]]), b"\0").replace(bytes([DOORS[color]]), b"\0")
    return plan


def free(cell: int) -> bool:
    """Return whether one can walk on a cell: floor, goal or key."""
    return cell in (FLOOR, GOAL) or cell in KEYS


def walk(plan: bytes, size: int, start: int) -> dict[int, int]:
    """Return, for each place that can be walked to, the place before it on a shortest way; nearest first."""
    before = {start: start}
    waiting = [start]
    for place in waiting:
        for step in steps(size).values():
            near = place + step
            if near not in before and free(plan[near]):
                before[near] = place
                waiting.append(near)
    return before


def solvable(plan: bytes, size: int, start: int) -> bool:
    """Return whether the goal can be reached, keys being picked up on the way."""
    while True:
        found = {plan[place] for place in walk(plan, size, start)}
        if GOAL in found:
            return True
        held = tuple(color for color, key in enumerate(KEYS) if key in found)
        if not held:
            return False
        plan = opened(plan, held)


def straight(plan: bytes, size: int) -> Iterator[tuple[int, int]]:
    """Yield all pairs of places with a straight free way from the first to the second."""
    for start, cell in enumerate(plan):
        if not free(cell):
            continue
        for step in steps(size).values():
            place = start + step
            while free(plan[place]):
                yield start, place
                place += step
