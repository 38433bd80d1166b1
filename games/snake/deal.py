"""Deals of Snake: a straight snake with a free next turn, walls off its row, and reachable food."""

from vlm_gym.dice import DEAL, Dice

from .field import Field, endless, heading, reached
from .state import SnakeKnobs

LENGTH = 3
"""Cells of the snake at the start."""


def deal(seed: int, knobs: SnakeKnobs) -> tuple[bytes, tuple[int, ...], int]:
    """Return the walls, the snake and the food at the start.

    The snake is laid to the right, and then the whole field is turned by quarters.
    """
    dice = Dice(seed, DEAL)
    size = knobs.size
    row = dice.below(size)
    col = LENGTH - 1 + dice.below(size - LENGTH + 1 - knobs.ticks)
    laid = [row * size + col - part for part in range(LENGTH)]
    quarters = dice.below(4)
    walls = bytearray(size**2)
    for place in _walls(knobs, row, dice):
        walls[_turned(place, quarters, size)] = 1
    snake = tuple([_turned(place, quarters, size) for place in laid])
    field = Field(size, knobs.ticks, bytes(walls))
    return field.walls, snake, feed(field, snake, dice)


def feed(field: Field, snake: tuple[int, ...], dice: Dice) -> int:
    """Choose an empty place for food that the head could pass and leave again, if there were no body."""
    passed = endless(field, snake[0], heading(snake, field.size))
    if passed <= {*snake}:  # the snake is lost
        passed = frozenset(reached(field, snake[0], frozenset()))
    return dice.choice(sorted(passed - {*snake}))


def _walls(knobs: SnakeKnobs, row: int, dice: Dice) -> list[int]:
    """Choose places for walls off the edge and off a row, no two of them next to each other."""
    size = knobs.size
    places: list[int] = []
    for at in range(1, size - 1):
        if abs(at - row) > 1:
            places += [at * size + col for col in range(1, size - 1)]
    dice.shuffle(places)
    walls: list[int] = []
    for place in places:
        around = [place + step for step in (-size - 1, -size, 1 - size, -1, 0, 1, size - 1, size, size + 1)]
        if len(walls) < knobs.walls and not any(other in walls for other in around):
            walls.append(place)
    return walls


def _turned(place: int, quarters: int, size: int) -> int:
    """Return where a place lies after so many quarter turns of the field to the right."""
    for _ in range(quarters):
        row, col = divmod(place, size)
        place = col * size + size - 1 - row
    return place
