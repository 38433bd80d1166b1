"""The outlook of each direction: the nearest food, with a path left to the snake's own tail.

A snake that can reach its own tail can follow it for ever. So a direction is safe if the snake can reach its
tail after it, and best if the food is nearest then.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from .field import MOVES, OPPOSITE, Field, heading, reached, turn


class Outlook(NamedTuple):
    """What a direction leads to: ``back``, ``crash``, ``shut``, ``tail`` or ``food`` in some turns."""

    kind: str
    turns: int = 0


VALUES = {"crash": 0.0, "shut": 0.1, "tail": 0.3}
"""Values of directions that do not lead to food."""


@lru_cache(maxsize=1 << 12)  # the values and the thought need it
def outlooks(field: Field, snake: tuple[int, ...], food: int) -> Mapping[str, Outlook]:
    """Return what each of the four directions leads to. The body is taken to stay where it is."""
    by_move = {}
    back = OPPOSITE[heading(snake, field.size)]
    for move in MOVES:
        moved = turn(field, snake, food, move)
        if move == back:
            by_move[move] = Outlook("back")
        elif moved.crashed:
            by_move[move] = Outlook("crash")
        else:
            by_move[move] = _after(field, moved.snake, food, moved.ate)
    return by_move


def _after(field: Field, snake: tuple[int, ...], food: int, ate: bool) -> Outlook:
    """Return the outlook of a snake after a turn."""
    if not _safe(field, snake):
        return Outlook("shut")
    if ate:
        return Outlook("food", 1)
    # The body moves on meanwhile, so the moves are played, and the tail must be reachable after them.
    moves = reached(field, snake[0], _body(field, snake)).get(food, ())
    for count, move in enumerate(moves, start=2):
        moved = turn(field, snake, food, move)
        snake = moved.snake
        if moved.crashed:
            break
        if moved.ate and _safe(field, snake):
            return Outlook("food", count)
    return Outlook("tail")


def _body(field: Field, snake: tuple[int, ...]) -> frozenset[int]:
    """Return the cells of the body, without the last ones: they are free by the time the head is there."""
    return frozenset(snake[1 : -field.ticks])


def _safe(field: Field, snake: tuple[int, ...]) -> bool:
    """Return whether a snake can reach its tail."""
    return snake[-1] in reached(field, snake[0], _body(field, snake))


@lru_cache(maxsize=1 << 12)  # `values` and `think` use it
def judged(field: Field, snake: tuple[int, ...], food: int) -> Mapping[str, float]:
    """Compute the values in [0, 1] of the directions that are legal: all but back."""
    by_move = outlooks(field, snake, food)
    turns_to_food = [outlook.turns for outlook in by_move.values() if outlook.kind == "food"]
    nearest = min(turns_to_food, default=0)
    values = {}
    for move, outlook in by_move.items():
        if outlook.kind == "food":
            values[move] = 0.5 + 0.5 / (1 + outlook.turns - nearest)
        elif outlook.kind != "back":
            values[move] = VALUES[outlook.kind]
    return values
