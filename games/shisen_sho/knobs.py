"""The difficulty of Shisen-Sho."""

from dataclasses import dataclass
from itertools import product

from vlm_gym.game import GameKnobs
from vlm_gym.knobs import knob
from vlm_gym.scene import COLORS, SHAPES, Symbol

TILES = (None, *(Symbol("shape", shape, color) for shape, color in product(SHAPES[:6], COLORS)))
"""What a cell shows, by its byte."""
WHOLE = len(TILES) - 1
"""Kinds of the whole deck."""


@dataclass(frozen=True, kw_only=True)
class ShisenShoKnobs(GameKnobs):
    """The reasoning axis of Shisen-Sho."""

    rows: int = knob(6, "rows of tiles", (2, 12))
    cols: int = knob(6, "columns of tiles", (2, 12))
    kinds: int = knob(9, "kinds of tiles, as equally frequent as pairs allow", (1, 36))
    deck: int = knob(WHOLE, "kinds that deals draw theirs from; few are soon known", (1, WHOLE))
    holes: int = knob(0, "cells without a tile when the game begins", (0, 142))
    bends: int = knob(2, "turns that a path may make; with one, fewer pairs can be taken", (1, 2))
    draws: int = knob(
        1, "deals drawn, at most, to find one on which taking the first pair each time gets stuck", (1, 64)
    )
    reward: str = knob(
        "goal",
        "as in every game; 'progress', of earlier versions: 1 a pair, but 0 if no pair can be taken then",
        ("goal", "progress", "paper"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tiles % 2 or self.kinds > self.tiles // 2:
            at = f"kinds={self.kinds} on rows={self.rows}, cols={self.cols} with holes={self.holes}"
            raise ValueError(f"{at} is not possible; tiles are even in number, and two or more for each kind")
        if self.deck < self.kinds:
            raise ValueError(f"deck={self.deck} is not possible; a deal takes kinds={self.kinds} from it")

    @property
    def tiles(self) -> int:
        """How many tiles a deal lays out."""
        return self.rows * self.cols - self.holes
