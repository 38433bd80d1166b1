"""The knobs and the state of Minesweeper."""

from dataclasses import dataclass
from typing import Literal

from vlm_gym.game import GameKnobs, State
from vlm_gym.knobs import knob


@dataclass(frozen=True, kw_only=True)
class MinesweeperKnobs(GameKnobs):
    """The reasoning axis of Minesweeper."""

    size: int = knob(6, "rows and columns", (4, 9))
    mines: int = knob(6, "mines; at most a quarter of the cells", (1, 20))
    guesses: Literal["none", "some"] = knob(
        "none", "'none': every deal can be solved by comparing numbers; 'some': any deal", ("none", "some")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mines > self.size**2 // 4:
            raise ValueError(f"mines={self.mines} is not possible here; it takes 1 to {self.size**2 // 4}")


@dataclass(frozen=True, kw_only=True)
class Field(State):
    """The cells of the mines, in order; the board as shown; how many cells the deal opened; the mine hit."""

    knobs: MinesweeperKnobs
    mines: tuple[int, ...]
    shown: bytes
    first: int
    hit: int = -1
