"""The field of Snake: how a snake moves, and which cells it can reach.

A cell is its index, row by row from 0. A snake is the cells of its body, the head first. Within a turn, it
keeps its direction for `ticks` cells.
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


def neighbour(cell: int, move: str, size: int) -> int | None:
    """Return the cell next to a cell; None beyond the edge."""
    row, col = divmod(cell, size)
    row += {"up": -1, "down": 1}.get(move, 0)
    col += {"left": -1, "right": 1}.get(move, 0)
    return row * size + col if 0 <= row < size and 0 <= col < size else None


def distance(one: int, other: int, size: int) -> int:
    """Count the rows and columns between two cells."""
    return abs(one // size - other // size) + abs(one % size - other % size)


def heading(snake: tuple[int, ...], size: int) -> str:
    """Return the direction in which the head has come."""
    return next(move for move in MOVES if neighbour(snake[1], move, size) == snake[0])


def tick(field: Field, snake: tuple[int, ...], food: int, move: str) -> Moved:
    """Move a snake by one cell. If it does not eat, its tail leaves its cell at the same time."""
    head = neighbour(snake[0], move, field.size)
    ate = head == food
    body = snake if ate else snake[:-1]
    if head is None or field.walls[head] or head in body:
        return Moved(snake, False, True)
    return Moved((head, *body), ate, False)


def turn(field: Field, snake: tuple[int, ...], food: int, move: str) -> Moved:
    """Move a snake by a turn, without any new food after that which it eats."""
    ate = False
    for _ in range(field.ticks):
        moved = tick(field, snake, -1 if ate else food, move)  # no cell is -1: the food is gone
        if moved.crashed:
            return Moved(snake, ate, True)
        snake = moved.snake
        ate = ate or moved.ate
    return Moved(snake, ate, False)


@lru_cache(maxsize=1 << 12)  # the searches for the tail and for the food share it
def reached(field: Field, head: int, closed: frozenset[int]) -> Mapping[int, tuple[str, ...]]:
    """Return the shortest moves to each cell that a head can pass; walls and `closed` cells stop it."""
    routes: dict[int, tuple[str, ...]] = {head: ()}
    stops = [head]  # cells on which a turn can end, nearest first: the list grows while it is read
    for stop in stops:
        for move in MOVES:
            cells = ahead(field, stop, move, closed)
            if cells and cells[-1] not in stops:
                stops.append(cells[-1])
            for cell in cells:
                routes.setdefault(cell, (*routes[stop], move))
    return routes


def ahead(field: Field, start: int, move: str, closed: frozenset[int]) -> list[int]:
    """Return the cells that a head passes in a turn; none if it hits something."""
    cells: list[int] = []
    cell = start
    for _ in range(field.ticks):
        following = neighbour(cell, move, field.size)
        if following is None or field.walls[following] or following in closed:
            return []
        cell = following
        cells.append(cell)
    return cells


Heading = tuple[int, str]
"""The cell of a head, and the direction in which it has come."""


@lru_cache(maxsize=1 << 10)  # it depends on no body, so it recurs within an episode
def endless(field: Field, head: int, move: str) -> frozenset[int]:
    """Return the cells that a head can pass on paths without an end, if there were no body.

    `move` is the direction in which the head has come. With more than one cell a turn there are blind alleys:
    a head gets in, and cannot turn back.
    """
    graph = _headings(field, head, move)
    # Blind alleys are removed, starting at their ends.
    while ends := {heading for heading, exits in graph.items() if not exits}:
        for end in ends:
            del graph[end]
        for exits in graph.values():
            for end in ends & exits.keys():
                del exits[end]
    cells = set[int]()
    for exits in graph.values():
        cells.update(*exits.values())
    return frozenset(cells)


def _headings(field: Field, head: int, move: str) -> dict[Heading, dict[Heading, list[int]]]:
    """Return the headings that follow each heading after a turn, with the cells that the turn passes."""
    graph: dict[Heading, dict[Heading, list[int]]] = {}
    waiting: list[Heading] = [(head, move)]
    while waiting:
        heading = waiting.pop()
        if heading in graph:
            continue
        exits: dict[Heading, list[int]] = {}
        cell, direction = heading
        for turned in MOVES:
            passed = [] if turned == OPPOSITE[direction] else ahead(field, cell, turned, frozenset())
            if passed:
                exits[passed[-1], turned] = passed
        graph[heading] = exits
        waiting += exits
    return graph
