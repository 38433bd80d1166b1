"""Scene to pixels: a picture is assembled by copying sprites, and only those that changed."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlm_gym.dice import Dice, mix
from vlm_gym.render.frames import Frame, FrameStore
from vlm_gym.render.layout import Layout, layout_of
from vlm_gym.render.look import Look
from vlm_gym.render.sprite import Brush, Overlay, headroom
from vlm_gym.render.theme import THEMES
from vlm_gym.scene import Object, Scene, Symbol

VARIANTS = 8
"""Ways to draw one symbol where tiles vary."""

_SHEET_BYTES = 64 << 20
_MOST = 256
"""Overlays, and lines of notes, that a sheet keeps."""


Lines = NDArray[np.void]
"""Pixels, each item a line of them: numpy copies few long items in half the time of many short ones."""


def lines(pixels: Frame) -> Lines:
    """View pixels, (height, width, 3), as lines, (height,).

    The kind of an item is told as a string: numpy looks at any other in Python and drops what is raised
    there, a Ctrl-C too.
    """
    height, width, _ = pixels.shape
    # The view shares memory with the frame: copying into a line draws on the picture.
    return pixels.reshape(height, -1).view(f"V{3 * width}")[:, 0]


class SpriteSheet(dict[tuple[Symbol | None, int], Lines]):
    """The sprites of one look, theme and cell size, drawn when first needed and shared by all painters.

    ``sheet[symbol, variant]`` is a cell's pixels, (cell,) lines, to be copied from.
    """

    def __init__(self, look: Look, theme: str, cell: int) -> None:
        super().__init__()
        self.brush = Brush(look, theme, cell)
        self.board = np.full((look.size, look.size, 3), self.brush.board)
        """The picture of a board without cells."""
        self._most = _SHEET_BYTES // (cell * cell * 3) + 1
        self._overlays: dict[tuple[Symbol, int], Overlay] = {}
        self._notes: dict[tuple[str, int, int, int], Lines] = {}

    def __missing__(self, key: tuple[Symbol | None, int]) -> Lines:
        """Draw a sprite."""
        if len(self) >= self._most:  # a user's album of thousands of photos
            self.clear()  # frames hold copies, so nothing that is drawn depends on it
        sprite = self[key] = lines(self.brush.sprite(*key))
        return sprite

    def overlay(self, symbol: Symbol, variant: int) -> Overlay:
        """Return what an object draws over the cells."""
        key = symbol, variant
        overlay = self._overlays.get(key)
        if overlay is None:
            if len(self._overlays) >= _MOST:
                self._overlays.clear()
            overlay = self._overlays[key] = self.brush.overlay(*key)
        return overlay

    def note(self, text: str, variant: int, line: int, width: int) -> Lines:
        """Return the pixels of a note, (line,) lines of `width` pixels."""
        key = text, variant, line, width
        pixels = self._notes.get(key)
        if pixels is None:
            if len(self._notes) >= _MOST:
                self._notes.clear()
            pixels = self._notes[key] = lines(self.brush.note(*key))
        return pixels


@lru_cache(maxsize=64)
def sprite_sheet(look: Look, theme: str, cell: int) -> SpriteSheet:
    """Share one sheet between all painters of a look."""
    return SpriteSheet(look, theme, cell)


@lru_cache(maxsize=8)
def grain(room: int, length: int) -> Frame:
    """Make noise for two frames of `length` values, flat, in 0..room; a frame's own starts at `grain_at`."""
    # Six standard deviations fill the range; two frames long, so that any offset leaves a whole frame.
    rng = np.random.Generator(np.random.PCG64(room))
    return (
        (rng.standard_normal(2 * length, np.float32) * (room / 6) + room / 2).clip(0, room).astype(np.uint8)
    )


def grain_at(seed: int, turn: int, length: int) -> int:
    """Return the offset into the `grain`, in [0, length), at which the noise of a state's picture starts."""
    return mix(seed + turn * 0x9E3779B9 & (1 << 64) - 1) % length


class Painter:
    """Draws the scenes of one episode after another, keeping a frame in which only changed cells are copied.

    All chance in a picture comes from the state's `seed` (theme and variants, which stay for an episode) and
    `turn` (noise), so a state always looks the same.
    """

    def __init__(self, look: Look, canvas: Frame | None = None) -> None:
        """Draw into `canvas`, uint8 (size, size, 3), wherever `paint` is given nothing else."""
        self.look = look
        self._noisy = headroom(look) > 0
        self._canvas = canvas
        self._store = FrameStore(look.size)
        # Without noise the canvas itself is what is kept up to date, and drawing needs no further copy.
        self._frame = np.zeros(self._store.shape, np.uint8) if canvas is None or self._noisy else canvas
        self._scene: Scene | None = None
        self._seed = -1
        self._sheet: SpriteSheet | None = None
        self._layout: Layout | None = None
        self._cell_pixels: list[Lines] = []
        self._notes: list[Lines] = []
        self._variants: list[int] = []
        self._covered: set[int] = set()
        """Cells that objects were drawn over."""

    def __reduce__(self) -> tuple[type["Painter"], tuple[Look]]:
        """Copy and pickle as a painter that has drawn nothing yet: `_cell_pixels` are views into `_frame`."""
        return Painter, (self.look,)

    def paint(self, scene: Scene, seed: int = 0, turn: int = 0, out: Frame | None = None) -> Frame:
        """Draw a scene into `out`, or else the canvas, or else a fresh array; uint8 (size, size, 3), RGB."""
        frame = self.clean(scene, seed)
        if out is None:
            out = self._store.take() if self._canvas is None else self._canvas
        if not self._noisy:
            if out is not frame:
                np.copyto(out, frame)
            return out
        noise = grain(headroom(self.look), frame.size)  # (2 * size * size * 3,)
        start = grain_at(seed, turn, frame.size)
        # Sprites leave `headroom` below 255, so uint8 does not overflow.
        return np.add(frame, noise[start : start + frame.size].reshape(frame.shape), out=out)

    def clean(self, scene: Scene, seed: int) -> Frame:
        """Bring the kept frame, which is without noise, up to date, and give it until the next call."""
        before = self._scene
        if (
            before is None
            or seed != self._seed
            or before[:2] != scene[:2]
            or len(before.notes) != len(scene.notes)
        ):
            before = self._lay(scene, seed)
        if before is None:
            changed = list(enumerate(scene.cells))
        else:
            old = before.cells
            # Identity is quicker than equality, and an equal symbol that is copied once more does no harm.
            changed = [(index, cell) for index, cell in enumerate(scene.cells) if cell is not old[index]]
            # What an object covered before has to be drawn again, though the cell is the same.
            changed += [(index, scene.cells[index]) for index in self._covered]
        assert self._sheet is not None
        sprites = self._sheet
        cell_pixels = self._cell_pixels
        variants = self._variants
        for index, cell in changed:
            cell_pixels[index][...] = sprites[cell, variants[index]]
        if scene.objects or self._covered:
            self._covered = set()
            for number, item in enumerate(scene.objects):
                self._lay_over(item, variant_of(self.look, seed, -1 - number))  # cells have 0 and more
        if scene.notes:
            self._write(scene.notes, () if before is None else before.notes)
        self._scene = scene
        return self._frame

    def _lay_over(self, item: Object, variant: int) -> None:
        """Draw an object over the cells."""
        assert self._sheet is not None
        assert self._layout is not None
        corner = self._layout.corner_at(item.row, item.col)
        self._sheet.overlay(item.symbol, variant).draw(self._frame, corner)
        self._covered.update(self._layout.under(corner))

    def _write(self, notes: tuple[str, ...], old: tuple[str, ...]) -> None:
        """Draw the notes that have changed."""
        assert self._sheet is not None
        assert self._layout is not None
        line = self._layout.line
        width = self._layout.width
        for number, note in enumerate(notes):
            if not old or note != old[number]:
                variant = variant_of(self.look, self._seed, number)
                self._notes[number][...] = self._sheet.note(note, variant, line, width)

    def _lay(self, scene: Scene, seed: int) -> Scene | None:
        """Prepare for an episode. Returns the scene that the frame still shows rightly, if any."""
        layout = layout_of(scene, self.look)
        side = layout.side
        kept = self._scene
        fresh = sprite_sheet(self.look, theme_of(self.look, seed), side)
        if fresh is not self._sheet or kept is None or layout != self._layout:
            self._sheet = fresh
            kept = None
            np.copyto(self._frame, fresh.board)
            self._layout = layout
            self._covered = set()
            self._cell_pixels = [lines(self._frame[y : y + side, x : x + side]) for y, x in layout.cells()]
            self._notes = [
                lines(self._frame[y : y + layout.line, x : x + layout.width]) for y, x in layout.notes
            ]
            assert np.may_share_memory(self._cell_pixels[0], self._frame)
        if self.look.varied:  # another seed has other variants, so each cell is drawn anew
            kept = None
        self._variants = [variant_of(self.look, seed, index) for index in range(len(scene.cells))]
        self._seed = seed
        return kept


def variant_of(look: Look, seed: int, index: int) -> int:
    """Choose the way to draw a cell, the note of this number, or the object of the number -1 - `index`."""
    return mix(seed * 1000003 + index & (1 << 64) - 1) % VARIANTS if look.varied else 0


def theme_of(look: Look, seed: int) -> str:
    """Name the theme of an episode: the look's own, or by seed where any will do."""
    return Dice(seed, 1).choice(list(THEMES)) if look.theme == "any" else look.theme


def draw(scene: Scene, look: Look, seed: int = 0, turn: int = 0, out: Frame | None = None) -> Frame:
    """Draw one scene; see `Painter.paint`. To draw many of a kind, keep a `Painter`."""
    # A fresh canvas saves a copy; the caller's array may have any memory layout.
    canvas = np.empty((look.size, look.size, 3), np.uint8) if out is None else None
    return Painter(look, canvas).paint(scene, seed, turn, out)
