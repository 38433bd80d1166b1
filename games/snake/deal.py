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
    straight = range(row * size + col, row * size + col - LENGTH, -1)  # the head is on the right
    quarters = dice.below(4)
    walls = bytearray(size**2)
    for cell in _walls(knobs, row, dice):
        walls[_turned(cell, quarters, size)] = 1
    snake = tuple([_turned(cell, quarters, size) for cell in straight])
    field = Field(size, knobs.ticks, bytes(walls))
    return field.walls, snake, feed(field, snake, dice)


def feed(field: Field, snake: tuple[int, ...], dice: Dice) -> int:
    """Choose an empty cell for food that the head could pass and leave again, if there were no body."""
    passed = endless(field, snake[0], heading(snake, field.size))
    if passed <= {*snake}:  # the snake is lost
        passed = frozenset(reached(field, snake[0], frozenset()))
    return dice.choice(sorted(passed - {*snake}))


def _walls(knobs: SnakeKnobs, row: int, dice: Dice) -> list[int]:
    """Choose cells for walls off the edge and off a row, no two of them next to each other."""
    size = knobs.size
    candidates: list[int] = []
    for wall_row in range(1, size - 1):
        if abs(wall_row - row) > 1:
            candidates += range(wall_row * size + 1, (wall_row + 1) * size - 1)
    dice.shuffle(candidates)
    # No candidate is in the first or the last column, so these offsets never lead across the edge.
    offsets = (-size - 1, -size, 1 - size, -1, 0, 1, size - 1, size, size + 1)
    walls: list[int] = []
    for cell in candidates:
        if len(walls) == knobs.walls:
            break
        around = {cell + offset for offset in offsets}
        if around.isdisjoint(walls):
            walls.append(cell)
    return walls


def _turned(cell: int, quarters: int, size: int) -> int:
    """Return where a cell lies after so many quarter turns of the field to the right."""
    for _ in range(quarters):
        row, col = divmod(cell, size)
        cell = col * size + size - 1 - row
    return cell
