"""Difficulty of Connect Four: the board, the opponent, and the opening."""

from dataclasses import dataclass

from vlm_gym.game import GameKnobs
from vlm_gym.knobs import knob

from .board import Shape


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """The reasoning axis of Connect Four."""

    rows: int = knob(6, "rows of the board", (3, 9))
    cols: int = knob(7, "columns of the board", (4, 9))
    connect: int = knob(4, "discs in a line that win", (3, 5))
    depth: int = knob(2, "turns that the opponent looks ahead; 0: it plays at random", (0, 8))
    first: str = knob("you", "who begins; 'either': by chance", ("you", "opponent", "either"))
    opening: int = knob(2, "discs of each side that lie on the board at the start", (1, 4))
    turns: int = knob(40, "turn limit of an episode; legal and illegal turns count", (1, 100_000))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.connect > min(self.rows, self.cols):
            raise ValueError(
                f"connect={self.connect} is not possible on {self.rows} rows and {self.cols} columns; "
                f"connect takes 3 to {min(self.rows, self.cols, 5)} here"
            )

    @property
    def shape(self) -> Shape:
        """Return the size of the board and the discs that make a line."""
        return Shape(self.rows, self.cols, self.connect)
