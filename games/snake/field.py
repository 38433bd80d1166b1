"""The field of Snake: how a snake moves, and where it can get to.

Cells are places from 0, row by row. A snake is its places, the head first. Within a turn, it keeps its
direction for `ticks` cells.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

MOVES = ("up", "right", "down", "left")
OPPOSITE = {"up": "down", "right": "left", "down": "up", "left": "right"}


class Field(NamedTuple):
    """The constant part of a position: rows and columns, cells a turn, and a byte a cell (1 for a wall)."""

    size: int
    ticks: int
    walls: bytes


class Moved(NamedTuple):
    """A snake after some cells of a turn, whether it has eaten the food, and whether it has hit anything."""

    snake: tuple[int, ...]
    ate: bool
    crashed: bool


def near(place: int, move: str, size: int) -> int | None:
    """Return the place next to a place; None beyond the edge."""
    row, col = divmod(place, size)
    row += {"up": -1, "down": 1}.get(move, 0)
    col += {"left": -1, "right": 1}.get(move, 0)
    return row * size + col if 0 <= row < size and 0 <= col < size else None


def far(one: int, other: int, size: int) -> int:
    """Count the rows and columns between two places."""
    return abs(one // size - other // size) + abs(one % size - other % size)


def heading(snake: tuple[int, ...], size: int) -> str:
    """Return the direction in which the head has come."""
    return next(move for move in MOVES if near(snake[1], move, size) == snake[0])


def tick(field: Field, snake: tuple[int, ...], food: int, move: str) -> Moved:
    """Move a snake by one cell. If it does not eat, its tail leaves its cell at the same time."""
    head = near(snake[0], move, field.size)
    ate = head == food
    rest = snake if ate else snake[:-1]
    if head is None or field.walls[head] or head in rest:
        return Moved(snake, False, True)
    return Moved((head, *rest), ate, False)


def turn(field: Field, snake: tuple[int, ...], food: int, move: str) -> Moved:
    """Move a snake by a turn, without any new food after that which it eats."""
    ate = False
    for _ in range(field.ticks):
        moved = tick(field, snake, -1 if ate else food, move)
        if moved.crashed:
            return Moved(snake, ate, True)
        snake = moved.snake
        ate = ate or moved.ate
    return Moved(snake, ate, False)


@lru_cache(maxsize=1 << 12)
def reached(field: Field, head: int, closed: frozenset[int]) -> Mapping[int, tuple[str, ...]]:
    """Return the shortest moves to each place that a head can pass; walls and `closed` places stop it."""
    ways: dict[int, tuple[str, ...]] = {head: ()}
    heads = [head]
    for start in heads:
        for move in MOVES:
            places = ahead(field, start, move, closed)
            if places and places[-1] not in heads:
                heads.append(places[-1])
            for place in places:
                ways.setdefault(place, (*ways[start], move))
    return ways


def ahead(field: Field, start: int, move: str, closed: frozenset[int]) -> list[int]:
    """Return the places that a head passes in a turn; none if it hits something."""
    places = []
    place = start
    for _ in range(field.ticks):
        then = near(place, move, field.size)
        if then is None or field.walls[then] or then in closed:
            return []
        place = then
        places.append(place)
    return places


@lru_cache(maxsize=1 << 10)
def endless(field: Field, head: int, move: str) -> frozenset[int]:
    """Return the places that a head can pass on ways without an end, if there were no body.

    `move` is the direction in which the head has come. With more than one cell a turn there are blind alleys:
    a head gets in, and cannot turn back.
    """
    ways: dict[tuple[int, str], dict[tuple[int, str], list[int]]] = {}
    waiting = [(head, move)]
    while waiting:
        start = waiting.pop()
        if start in ways:
            continue
        ways[start] = {}
        for turned in MOVES:
            passed = [] if turned == OPPOSITE[start[1]] else ahead(field, start[0], turned, frozenset())
            if passed:
                ways[start][passed[-1], turned] = passed
                waiting.append((passed[-1], turned))
    # Blind alleys are removed, starting at their ends.
    while ends := {start for start, leads in ways.items() if not leads}:
        for end in ends:
            del ways[end]
        for start, leads in ways.items():
            ways[start] = {to: passed for to, passed in leads.items() if to not in ends}
    found = set[int]()
    for leads in ways.values():
        found.update(*leads.values())
    return frozenset(found)
