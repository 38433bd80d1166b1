"""The knobs and the state of Snake."""

from dataclasses import dataclass

from vlm_gym.game import GameKnobs, State
from vlm_gym.knobs import knob

from .field import Field


@dataclass(frozen=True, kw_only=True)
class SnakeKnobs(GameKnobs):
    """The reasoning axis of Snake."""

    size: int = knob(8, "rows and columns", (5, 16))
    goal: int = knob(6, "food to eat", (1, 100))
    ticks: int = knob(1, "cells that the snake goes in a turn, all in one direction", (1, 3))
    walls: int = knob(0, "walls on the field, no two of them next to each other", (0, 12))

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = self.size**2 // 3
        if self.goal > limit:
            raise ValueError(f"goal={self.goal} is not possible here; size={self.size} takes 1 to {limit}")
        limit = (self.size - 3) ** 2 // 4
        if self.walls > limit:
            raise ValueError(f"walls={self.walls} is not possible here; size={self.size} takes 0 to {limit}")
        if self.ticks > self.size // 3:
            raise ValueError(f"ticks={self.ticks} is not possible here; it takes 1 to {self.size // 3}")


@dataclass(frozen=True, kw_only=True)
class SnakeState(State):
    """A position: the walls (1 for a wall), the cells of the snake from its head on, and that of the food.

    `far` is how far the food was from the head when it came.
    """

    knobs: SnakeKnobs
    walls: bytes
    snake: tuple[int, ...]
    food: int
    far: int
    crashed: bool = False

    @property
    def field(self) -> Field:
        return Field(self.knobs.size, self.knobs.ticks, self.walls)

    @property
    def position(self) -> tuple[Field, tuple[int, ...], int]:
        return self.field, self.snake, self.food
