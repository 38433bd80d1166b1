"""How hard Lights Out is, and a position of it."""

from dataclasses import dataclass

from vlm_gym.game import Board, GameKnobs
from vlm_gym.knobs import knob


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """The reasoning axis of Lights Out: the size of the board, and the presses behind the deal."""

    size: int = knob(5, "rows and columns", (2, 7))
    presses: int = knob(5, "different cells pressed to make the deal; at most one for each cell", (1, 49))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.presses > self.size**2:
            raise ValueError(f"presses={self.presses} is not possible here; it takes 1 to {self.size**2}")


@dataclass(frozen=True, kw_only=True)
class Lamps(Board[Knobs]):
    """The lamps, a byte each, and how many of them were lit in the deal."""

    first: int
