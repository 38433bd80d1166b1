"""A reader that knows how things are drawn: proof that a picture can be read at all.

It compares every cell with every way of drawing every symbol, and takes the nearest. Where it fails, no model
can be blamed for failing.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from vlm_gym.render import Frame, Look, cells_at
from vlm_gym.render.painter import VARIANTS, sheet, theme_of
from vlm_gym.render.sprite import headroom
from vlm_gym.scene import Scene, Symbol


class Reader:
    """Reads pictures of boards of `rows` × `cols` cells that hold some of `symbols`."""

    def __init__(self, look: Look, rows: int, cols: int, symbols: Collection[Symbol]) -> None:
        self.look, self.rows, self.cols = look, rows, cols
        self.side = look.size // max(rows, cols)
        self.symbols: list[Symbol | None] = [None, *symbols]

    def read(self, frame: Frame, seed: int) -> Scene:
        """Recover the scene. `seed` tells the theme, as a glance at the whole picture does."""
        known = self.templates(seed)
        flat = known.reshape(len(known), -1)
        blank = Scene(self.rows, self.cols, (None,) * (self.rows * self.cols))
        cells = np.stack(
            [
                frame[y : y + self.side, x : x + self.side].reshape(-1).astype(np.float32)
                for y, x in cells_at(blank, self.look.size)
            ]
        )
        cells -= headroom(self.look) / 2  # the mean of the noise
        # Nearest by squared distance; the cell's own square is the same for all templates.
        distance = (flat**2).sum(axis=1) - 2 * cells @ flat.T
        nearest = distance.argmin(axis=1) // (len(known) // len(self.symbols))
        return Scene(self.rows, self.cols, tuple(self.symbols[index] for index in nearest))

    def templates(self, seed: int) -> NDArray[np.float32]:
        """Every way of drawing every symbol, (symbols · ways, side, side, 3), the empty cell first."""
        sprites = sheet(self.look, theme_of(self.look, seed), self.side)
        ways = VARIANTS if self.look.varied else 1
        lines = np.stack([sprites[symbol, way] for symbol in self.symbols for way in range(ways)])
        return lines.view(np.uint8).reshape(-1, self.side, self.side, 3).astype(np.float32)
