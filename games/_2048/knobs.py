"""Difficulty of 2048: the size of the board, the tile to make, the tiles dealt."""

from dataclasses import dataclass

from vlm_gym.game import GameKnobs
from vlm_gym.knobs import knob


@dataclass(frozen=True, kw_only=True)
class Knobs2048(GameKnobs):
    """The reasoning axis of 2048."""

    size: int = knob(4, "rows and columns; a smaller board forgives less", (3, 6))
    target: int = knob(128, "tile to make, a power of two from 8 up; 0: no goal", (0, 1 << 17))
    tiles: int = knob(2, "tiles dealt at the start; more of them shorten the way", (1, 9))
    fours: float = knob(0.1, "chance that a new tile is a 4 and not a 2", (0.0, 1.0))
    reward: str = knob(
        "goal",
        "as in every game; 'progress', of earlier versions: the points in doublings",
        ("goal", "progress", "paper"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target and (self.target < 8 or self.target & (self.target - 1)):
            raise ValueError(f"target={self.target} is not possible; target takes 0 and 8, 16, 32, ...")
