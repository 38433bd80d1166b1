"""The difficulty of Swap."""

from dataclasses import dataclass
from typing import Literal

from vlm_gym.game import GameKnobs
from vlm_gym.knobs import knob

from .board import Grid, grid
from .solver import any_will_do


@dataclass(frozen=True, kw_only=True)
class SwapKnobs(GameKnobs):
    """The reasoning axis of Swap."""

    rows: int = knob(8, "rows", (3, 10))
    cols: int = knob(8, "columns", (3, 10))
    colors: int = knob(4, "colours; more kinds of tiles leave fewer swaps", (1, 6))
    shapes: int = knob(2, "shapes; equal tiles share colour and shape", (1, 8))
    refill: Literal["endless", "none"] = knob(
        "endless",
        "'endless': new tiles fall in; 'none': a pile of `target` tiles, a multiple of 3, is to be cleared",
        ("endless", "none"),
    )
    count: Literal["tiles", "swaps"] = knob("tiles", "what scores: tiles or swaps", ("tiles", "swaps"))
    target: int = knob(75, "score to reach; 0: no goal", (0, 100_000))
    reward: str = knob(
        "goal",
        "as in every game; 'progress', of earlier versions: a tenth for each tile that the swap lines up",
        ("goal", "progress", "paper"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = self.rows * self.cols
        kinds = self.colors * self.shapes
        largest = cells * 2 // 9 * 3  # two thirds of the cells, as a multiple of three
        if not 4 <= kinds <= cells:
            raise ValueError(f"colors*shapes={kinds} is not possible here; it takes 4 to {cells}")
        if self.refill == "none" and (self.target not in range(6, largest + 1, 3) or self.count != "tiles"):
            raise ValueError(f"target={self.target} {self.count}: a pile takes 6, 9, ... or {largest} tiles")

    @property
    def grid(self) -> Grid:
        return grid(self.rows, self.cols, self.colors * self.shapes)

    @property
    def pile(self) -> bool:
        """Whether a pile is to be cleared, with no tiles to come."""
        return self.refill == "none"

    @property
    def alike(self) -> bool:
        """Whether every legal swap serves the goal alike."""
        return any_will_do(self.rows, self.cols, self.count)
