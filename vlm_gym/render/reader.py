"""A template-matching reader, which proves that pictures can be read.

It compares every cell with every way of drawing every symbol, and takes the nearest. Objects are found by
adding the one that explains most of what is left, until nothing is. Where the reader fails, no model can be
blamed for failing.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlm_gym.render import Frame, Look
from vlm_gym.render.layout import Layout, Place, layout
from vlm_gym.render.painter import VARIANTS, Lines, SpriteSheet, sprite_sheet, theme_of
from vlm_gym.render.sprite import Overlay, headroom
from vlm_gym.scene import Object, Scene, Symbol

Pixels = NDArray[np.float32]

_TRIED = 12
"""Places of each overlay that are looked at."""
_CLOSELY = 16
"""Ways and places of each symbol that are tried out."""
_LEAST = 9.0
"""Squared grey levels, over the values of a cell, that an object has to explain."""


class Reader:
    """Reads pictures of boards of `rows` × `cols` cells that hold some of `symbols`.

    `objects` are the symbols that may lie off the grid; `notes` lists, for each note, the texts it can be.
    """

    def __init__(
        self,
        look: Look,
        rows: int,
        cols: int,
        symbols: Collection[Symbol],
        objects: Collection[Symbol] = (),
        notes: Sequence[Collection[str]] = (),
    ) -> None:
        self.look = look
        self.layout = layout(rows, cols, len(notes), look.size, look.cell)
        self.side = self.layout.side
        self.symbols: list[Symbol | None] = [None, *symbols]
        self.objects = tuple(objects)
        self.notes = [tuple(texts) for texts in notes]
        self._variants = VARIANTS if look.varied else 1

    def read(self, frame: Frame, seed: int) -> Scene:
        """Recover the scene. `seed` fixes the theme, which a viewer sees from the whole picture."""
        picture = frame.astype(np.float32) - headroom(self.look) / 2  # the mean of the noise
        cells_seen = _Cells(picture, self.templates(seed), self.layout)
        objects_found = self._find(picture, cells_seen, seed) if self.objects else []
        count = self.layout.rows * self.layout.cols
        nearest = [cells_seen.nearest(index, objects_found)[0] for index in range(count)]
        cells = tuple(self.symbols[variant // self._variants] for variant in nearest)
        top, left = self.layout.corner
        objects = list[Object]()
        for candidate in objects_found:
            y, x = candidate.corner
            objects.append(Object(candidate.symbol, (y - top) / self.side, (x - left) / self.side))
        notes = self._read_notes(picture, seed)
        return Scene(self.layout.rows, self.layout.cols, cells, tuple(objects), notes)

    def templates(self, seed: int) -> Pixels:
        """Draw every symbol in every way, (symbols · ways, side, side, 3), the empty cell first."""
        sprites = self._sheet(seed)
        drawn = list[Lines]()
        for symbol in self.symbols:
            drawn += [sprites[symbol, variant] for variant in range(self._variants)]
        lines = np.stack(drawn)  # (symbols · ways, side), a line of pixels as one number
        return lines.view(np.uint8).reshape(-1, self.side, self.side, 3).astype(np.float32)

    def _sheet(self, seed: int) -> SpriteSheet:
        return sprite_sheet(self.look, theme_of(self.look, seed), self.side)

    def _read_notes(self, picture: Pixels, seed: int) -> tuple[str, ...]:
        """Choose the nearest text for every note."""
        sprites = self._sheet(seed)
        line = self.layout.line
        width = self.layout.width
        read = []
        for (y, x), texts in zip(self.layout.notes, self.notes, strict=True):
            drawn = list[Lines]()
            for text in texts:
                drawn += [sprites.note(text, variant, line, width) for variant in range(self._variants)]
            known = np.stack(drawn).view(np.uint8).reshape(-1, line, width, 3).astype(np.float32)
            read.append(texts[_nearest(picture[y : y + line, x : x + width], known)[0] // self._variants])
        return tuple(read)

    # --- objects

    def _find(self, picture: Pixels, cells: "_Cells", seed: int) -> list["_Candidate"]:
        """Add one object after another, each the one that explains most, until the best explains nothing."""
        likely = self._likely(picture, seed)
        objects = list[_Candidate]()
        before: dict[int, float] = {}  # by cell: its distance to the picture with the objects found so far
        gains: dict[int, float] = {}
        while True:
            for number, candidate in enumerate(likely):
                if number not in gains:
                    gains[number] = self._gain(cells, objects, candidate, before)
            best = max(gains, key=gains.__getitem__, default=-1)
            if best < 0 or gains[best] < _LEAST * self.side**2 * 3:
                return objects
            objects.insert(0, likely[best])  # below the objects found before, which were not covered
            changed = set(self.layout.under(likely[best].corner))
            for index in changed:
                before.pop(index, None)
            # Only objects over these cells explain more or less than before.
            for number in list(gains):
                if not changed.isdisjoint(self.layout.under(likely[number].corner)):
                    del gains[number]

    def _likely(self, picture: Pixels, seed: int) -> list["_Candidate"]:
        """List the objects and places that may be there: for each symbol the nearest ones."""
        sprites = self._sheet(seed)
        search = _Search(picture, self._corners())
        likely = list[_Candidate]()
        for symbol in self.objects:
            tried = list[tuple[float, _Candidate]]()
            for variant in range(self._variants):
                overlay = sprites.overlay(symbol, variant)
                for distance, corner in search.nearest_corners(overlay):
                    tried.append((distance, _Candidate(symbol, overlay, corner)))
            tried.sort(key=lambda one: one[0])
            likely += [one for _, one in tried[:_CLOSELY]]
        return likely

    def _gain(
        self, cells: "_Cells", objects: list["_Candidate"], candidate: "_Candidate", before: dict[int, float]
    ) -> float:
        """Measure how much nearer the cells under an object come to the picture by it."""
        gain = 0.0
        for index in self.layout.under(candidate.corner):
            if index not in before:
                before[index] = cells.nearest(index, objects)[1]
            gain += before[index] - cells.nearest(index, [candidate, *objects])[1]
        return gain

    def _corners(self) -> tuple[slice, slice]:
        """Return the pixels at which the top left corner of an object can lie."""
        top, left = self.layout.corner
        down = (self.layout.rows - 1) * self.side
        right = (self.layout.cols - 1) * self.side
        return slice(top, top + down + 1), slice(left, left + right + 1)


class _Candidate(NamedTuple):
    """An object by its looks, and the place of its top left pixel."""

    symbol: Symbol
    overlay: Overlay
    corner: Place


class _Cells:
    """Compares the cells of a picture with all ways to draw a cell, (ways, side, side, 3), under objects."""

    def __init__(self, picture: Pixels, known: Pixels, layout: Layout) -> None:
        self._picture = picture
        self._known = known.reshape(len(known), -1)  # (ways, values)
        self._squares = self._known**2
        self._plain = self._squares.sum(axis=1)
        self._layout = layout
        self._places = layout.cells()

    def nearest(self, index: int, objects: Sequence["_Candidate"]) -> tuple[int, float]:
        """Return which way comes nearest to a cell with objects over it, and its squared distance."""
        y, x = self._places[index]
        side = self._layout.side
        rest = self._picture[y : y + side, x : x + side]
        over = [item for item in objects if index in self._layout.under(item.corner)]
        if over:
            paint, keep = _veil(over, (y, x), side)
            rest = rest - paint
            # The sum of (rest - keep * known)^2, without drawing any of them.
            cross = self._known @ (keep * rest).reshape(-1)
            own = self._squares @ (keep**2).reshape(-1)
        else:
            cross = self._known @ rest.reshape(-1)
            own = self._plain
        distance = own - 2 * cross + (rest**2).sum()
        variant = int(distance.argmin())
        return variant, float(distance[variant])


def _veil(over: Sequence["_Candidate"], corner: Place, side: int) -> tuple[Pixels, Pixels]:
    """Combine objects over a cell: what they add to it, and the share of it that stays, (side, side, 3)."""
    paint = np.zeros((side, side, 3), np.float32)
    keep = np.ones((side, side, 3), np.float32)
    for item in over:
        rows = _shared(item.corner[0] - corner[0], side)
        cols = _shared(item.corner[1] - corner[1], side)
        stays = item.overlay.keep[rows[1], cols[1]] / np.float32(256)
        paint[rows[0], cols[0]] *= stays
        paint[rows[0], cols[0]] += item.overlay.paint[rows[1], cols[1]]
        keep[rows[0], cols[0]] *= stays
    return paint, keep


def _shared(shift: int, side: int) -> tuple[slice, slice]:
    """Return the part of a cell that an object shifted by so many pixels covers, and the part that does."""
    inner = side - abs(shift)
    in_cell = max(0, shift)
    in_object = max(0, -shift)
    return slice(in_cell, in_cell + inner), slice(in_object, in_object + inner)


def _nearest(pixels: Pixels, known: Pixels) -> tuple[int, float]:
    """Return which of `known`, (ways, ...), comes nearest to what is seen, and its squared distance."""
    distance = ((known - pixels) ** 2).reshape(len(known), -1).sum(axis=1)
    variant = int(distance.argmin())
    return variant, float(distance[variant])


class _Search:
    """Looks for overlays in a picture by correlation, with their top left corners within some pixels."""

    def __init__(self, picture: Pixels, corners: tuple[slice, slice]) -> None:
        self._shape = picture.shape[:2]
        self._corners = corners
        self._seen = np.fft.rfft2(picture, self._shape, axes=(0, 1))
        self._squares = np.fft.rfft2((picture**2).sum(axis=2), self._shape)

    def nearest_corners(self, overlay: Overlay) -> Iterator[tuple[float, Place]]:
        """Yield the places where an overlay comes nearest to the picture, and its mean squared distance.

        What shines through does not count: pixels are compared as much as they are covered.
        """
        side = len(overlay.paint)
        cover = 1 - overlay.keep.astype(np.float32) / 256  # (side, side, 1)
        paint = overlay.paint.astype(np.float32)
        # The sum over the overlay of (cover * picture - paint)^2, at every place.
        weights = np.fft.rfft2((cover**2)[:, :, 0], self._shape)
        colors = np.fft.rfft2(cover * paint, self._shape, axes=(0, 1))
        cross = (self._seen * colors.conj()).sum(axis=2)
        distance = np.fft.irfft2(self._squares * weights.conj() - 2 * cross, self._shape)[self._corners]
        distance = (distance + (paint**2).sum()) / (3 * (cover**2).sum())
        rows, cols = self._corners
        apart = side // 8
        for _ in range(_TRIED):
            y, x = map(int, np.unravel_index(distance.argmin(), distance.shape))
            yield float(distance[y, x]), (rows.start + y, cols.start + x)
            distance[max(0, y - apart) : y + apart + 1, max(0, x - apart) : x + apart + 1] = np.inf
