"""The knobs and the state of Sokoban."""

from dataclasses import dataclass

from vlm_gym.game import GameKnobs, State
from vlm_gym.knobs import knob

from .room import Room


@dataclass(frozen=True, kw_only=True)
class SokobanKnobs(GameKnobs):
    """The reasoning axis of Sokoban."""

    size: int = knob(7, "rows and columns, with the walls around", (5, 10))
    boxes: int = knob(2, "boxes, as many as goals", (1, 4))
    pushes: int = knob(6, "pushes that a level takes at least, where rooms allow", (1, 30))

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = max(1, (self.size - 2) ** 2 // 8)
        if self.boxes > limit:
            raise ValueError(f"boxes={self.boxes} is not possible here; size={self.size} takes 1 to {limit}")
        longest = self.boxes * (self.size - 3)
        if self.pushes > longest:
            raise ValueError(f"pushes={self.pushes} is not possible here; it takes 1 to {longest}")


@dataclass(frozen=True, kw_only=True)
class SokobanState(State):
    """A position: what stays, the boxes in reading order, the walker, and `far` of the boxes at the start."""

    knobs: SokobanKnobs
    walls: bytes
    goals: tuple[int, ...]
    boxes: tuple[int, ...]
    walker: int
    first: int

    @property
    def room(self) -> Room:
        return Room(self.knobs.size, self.walls, self.goals)

    @property
    def position(self) -> tuple[Room, tuple[int, ...], int]:
        return self.room, self.boxes, self.walker
