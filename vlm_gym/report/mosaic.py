"""Pictures as mosaics of unique tiles, from which a page assembles thousands of exact pictures.

Noise is stored once: all pictures of a look share one grain, and each adds it from an offset of its own.
"""

from base64 import b64encode
from hashlib import blake2b
from io import BytesIO
from math import ceil, sqrt
from typing import NamedTuple
from zlib import compress

import numpy as np

from vlm_gym.registry import find
from vlm_gym.render import Frame, Painter, layout_of, look
from vlm_gym.render.layout import Layout, Place
from vlm_gym.render.painter import grain, grain_at, sprite_sheet, theme_of
from vlm_gym.render.sprite import headroom
from vlm_gym.replays.replay import Play
from vlm_gym.scene import Symbol

SHEET = 256
"""Tiles on a sheet at most: few enough to be decoded at once when an episode is opened."""


class Pictures(NamedTuple):
    """How the pictures of one episode are put together; lengths are in pixels."""

    size: int
    rows: int
    cols: int
    side: int
    """Of a cell."""
    origin: tuple[int, int]
    """(left, top) of the first cell."""
    board: str
    """Colour of what lies around the cells, ``#rrggbb``."""
    grain: int
    """Noise to add, as grey levels kept free for it; 0: none."""
    cells: list[list[int]]
    """For each turn the tiles, row by row."""
    starts: list[int]
    """For each turn the offset in the grain at which its noise begins."""
    line: int
    """Height of a note's line, which is put together from square tiles."""
    lines: list[tuple[int, int]]
    """(left, top) of the line of each note."""
    notes: list[list[list[int]]]
    """For each turn and note the tiles of its line, from the left."""


class TileSheet:
    """Tiles of one size, a square of them."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.tiles: list[Frame] = []

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return ceil(sqrt(len(self.tiles)))

    def image(self) -> str:
        """Encode all tiles as a lossless WebP, ``data:image/webp;base64,...``."""
        from PIL import Image

        side = self.side
        across = self.across
        whole = np.zeros((ceil(len(self.tiles) / across) * side, across * side, 3), np.uint8)
        for slot, tile in enumerate(self.tiles):
            y = slot // across * side
            x = slot % across * side
            whole[y : y + side, x : x + side] = tile
        file = BytesIO()
        Image.fromarray(whole).save(file, "WEBP", lossless=True, exact=True, method=3, quality=50)
        return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


class Mosaic:
    """All tiles of a page; a tile is a number. `descriptions` has its text, `places` its (sheet, slot)."""

    def __init__(self) -> None:
        self.descriptions: list[str] = []
        self.places: list[tuple[int, int]] = []
        self.sheets: list[TileSheet] = []
        self._known: dict[tuple[bytes, int, str], int] = {}
        self._open: dict[int, int] = {}
        """By the side of a tile, the sheet that takes the next."""
        self._grains: set[tuple[int, int]] = set()

    def add(self, play: Play) -> Pictures:
        """Take an episode's pictures apart."""
        game = find(play.episode.game)
        view = look(play.episode.perception)
        states = [turn.state for turn in play.turns]
        scenes = list(map(game.scene, states))
        layout = layout_of(scenes[0], view)
        side = layout.side
        corners = layout.cells()
        painter = Painter(view)
        known = dict[tuple[int, Symbol | None], int]()
        cells = list[list[int]]()
        notes = list[list[list[int]]]()
        for state, scene in zip(states, scenes, strict=True):
            frame = painter.clean(scene, state.seed)
            covered = set[int]()  # cells under objects, whose pixels differ from those of the cell alone
            for item in scene.objects:
                covered.update(layout.under(layout.corner_at(*item[1:])))
            tiles = list[int]()
            for key, (y, x) in zip(enumerate(scene.cells), corners, strict=True):
                tile = None if key[0] in covered else known.get(key)
                if tile is None:
                    description = "-" if key[1] is None else key[1].words
                    tile = self._tile(frame[y : y + side, x : x + side], description)
                if key[0] not in covered:
                    known[key] = tile
                tiles.append(tile)
            cells.append(tiles)
            notes.append([self._line(frame, corner, layout) for corner in layout.notes])
        around = sprite_sheet(view, theme_of(view, states[0].seed), side).brush.board
        room = headroom(view)
        length = 3 * view.size**2
        if room:
            self._grains.add((room, view.size))
        return Pictures(
            view.size,
            layout.rows,
            layout.cols,
            side,
            (layout.corner[1], layout.corner[0]),
            f"#{around.tobytes().hex()}",
            room,
            cells,
            [grain_at(state.seed, state.turn, length) if room else 0 for state in states],
            layout.line,
            [(x, y) for y, x in layout.notes],
            notes,
        )

    def grains(self) -> dict[str, str]:
        """Pack the noise that is needed, by ``ROOM-SIZE``: base64 of deflated grey levels, 1.2 MB each."""
        packed = dict[str, str]()
        for room, size in sorted(self._grains):
            noise = compress(grain(room, 3 * size**2).tobytes(), 9)
            packed[f"{room}-{size}"] = b64encode(noise).decode()
        return packed

    def _line(self, frame: Frame, corner: Place, layout: Layout) -> list[int]:
        """Take the line of a note apart into square tiles."""
        y, left = corner
        tiles = list[int]()
        for x in range(left, left + layout.width, layout.line):
            tiles.append(self._tile(frame[y : y + layout.line, x : x + layout.line], ""))
        return tiles

    def _tile(self, pixels: Frame, description: str) -> int:
        """Return the number of a tile, by its pixels and its description."""
        # Equal pixels with another description are another tile: a reader of the page sees the description.
        key = blake2b(pixels.tobytes(), digest_size=16).digest(), len(pixels), description
        tile = self._known.setdefault(key, len(self._known))
        if tile == len(self.places):
            number = self._open.get(len(pixels))
            if number is None or len(self.sheets[number].tiles) == SHEET:
                number = self._open[len(pixels)] = len(self.sheets)
                self.sheets.append(TileSheet(len(pixels)))
            self.places.append((number, len(self.sheets[number].tiles)))
            self.sheets[number].tiles.append(pixels.copy())  # the frame is drawn over for the next turn
            self.descriptions.append(description)
        return tile
