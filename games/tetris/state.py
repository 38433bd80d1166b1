"""The knobs and the state of Tetris."""

from dataclasses import dataclass

from vlm_gym.game import Board, GameKnobs
from vlm_gym.knobs import knob

from .board import KINDS, Field


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """The reasoning axis of Tetris."""

    width: int = knob(8, "columns of the field", (4, 12))
    height: int = knob(10, "rows of the field; fewer rows forgive less", (6, 20))
    kinds: int = knob(7, f"kinds of pieces: the first so many of {' '.join(KINDS)}", (2, 7))
    ahead: int = knob(1, "pieces that are shown ahead", (0, 3))
    garbage: int = knob(2, "rows at the start that are full but for a gap", (1, 8))
    lines: int = knob(6, "rows to clear", (1, 100))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.garbage > self.height - 4:
            raise ValueError(
                f"garbage={self.garbage} is not possible with height={self.height}; "
                f"garbage takes whole numbers 1 to {min(8, self.height - 4)} here"
            )


@dataclass(frozen=True, kw_only=True)
class Fall(Board[Knobs]):
    """A position: the cells of the field, the piece to place, and those that are shown ahead."""

    piece: str
    ahead: tuple[str, ...] = ()

    @property
    def field(self) -> Field:
        """Return the field with its size."""
        return Field(self.cells, self.knobs.width, self.knobs.height)

    @property
    def remaining(self) -> int:
        """Return the number of rows to clear until the goal."""
        return max(0, self.knobs.lines - int(self.score))
