"""The layout of a picture, shared by painter, reader, viewer, mouse and planner.

The board is centred in the picture. Notes take a band below it, a line each:

    +-----------+
    |   board   |
    +-----------+
    | a note    |
    | a note    |
    +-----------+
"""

from functools import lru_cache
from typing import NamedTuple

from vlm_gym.render.look import Look
from vlm_gym.scene import Scene

SMALLEST = 8
"""Pixels of a cell at least: what is drawn smaller cannot be told apart."""
NOTE_HEIGHT = 14
"""Pixels of the line of a note at least."""
_SHARE = 16
"""The line of a note takes one in so many pixels of the picture's height."""

Place = tuple[int, int]
"""(y, x) of the top left pixel of something."""


class Layout(NamedTuple):
    """The places of one picture, in pixels."""

    size: int
    """Height and width of the picture."""
    rows: int
    cols: int
    side: int
    """Height and width of a cell."""
    corner: Place
    """Of the first cell."""
    notes: tuple[Place, ...]
    """Of the line of each note."""
    line: int
    """Height of the line of a note."""

    @property
    def width(self) -> int:
        """Return the width of the line of a note: a multiple of its height."""
        return self.size // self.line * self.line

    def cells(self) -> list[Place]:
        """Locate the cells, row by row."""
        top, left = self.corner
        corners = []
        for row in range(self.rows):
            for col in range(self.cols):
                corners.append((top + row * self.side, left + col * self.side))
        return corners

    def corner_at(self, row: float, col: float) -> Place:
        """Locate what lies at a row and a column, in cells from 0."""
        top, left = self.corner
        return top + round(row * self.side), left + round(col * self.side)

    def under(self, corner: Place) -> list[int]:
        """List the cells, row by row, that an object with this top left pixel covers or touches."""
        y = corner[0] - self.corner[0]
        x = corner[1] - self.corner[1]
        rows = range(y // self.side, (y + self.side - 1) // self.side + 1)
        cols = range(x // self.side, (x + self.side - 1) // self.side + 1)
        cells = list[int]()
        for row in rows:
            cells += [row * self.cols + col for col in cols]
        return cells

    def cell_at(self, pixel: Place) -> int | None:
        """Return the cell, counted row by row, that shows a pixel; None for a pixel beside the board."""
        row = (pixel[0] - self.corner[0]) // self.side
        col = (pixel[1] - self.corner[1]) // self.side
        return row * self.cols + col if 0 <= row < self.rows and 0 <= col < self.cols else None


def layout_of(scene: Scene, look: Look) -> Layout:
    """Lay out a scene in a picture of a look.

    Raises `ValueError` with the sizes that there are, if the picture or its cells are too small.
    """
    return layout(scene.rows, scene.cols, len(scene.notes), look.size, look.cell)


@lru_cache(maxsize=256)
def layout(rows: int, cols: int, notes: int, size: int, cell: int = 0) -> Layout:
    """Lay out a board and so many notes; see `layout_of`, and `Look` for `size` and `cell`."""
    line = max(NOTE_HEIGHT, size // _SHARE)
    height = size - notes * line
    side = min(size // cols, height // rows)
    if side < SMALLEST:
        raise ValueError(
            f"size={size} is too small for {rows} x {cols} cells and {notes} notes; "
            f"size takes {_least(rows, cols, notes)} or more here"
        )
    if 0 < cell < SMALLEST:
        raise ValueError(f"cell={cell} is too small; cell takes 0 or {SMALLEST} or more")
    if cell:
        side = min(side, cell)
    corner = (height - side * rows) // 2, (size - side * cols) // 2
    left = size % line // 2
    note_corners = tuple((height + number * line, left) for number in range(notes))
    return Layout(size, rows, cols, side, corner, note_corners, line)


def _least(rows: int, cols: int, notes: int) -> int:
    """Find the smallest size that is large enough."""
    size = SMALLEST * max(rows, cols)
    while min(size // cols, (size - notes * max(NOTE_HEIGHT, size // _SHARE)) // rows) < SMALLEST:
        size += 1
    return size
