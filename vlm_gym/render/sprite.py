"""One cell as pixels: a symbol drawn once, anti-aliased, with all that perception does to a single tile.

A sprite holds its whole cell, board and slot included, so a picture is put together by copying alone.
"""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlm_gym.album import open_picture
from vlm_gym.dice import Dice
from vlm_gym.render.frames import Frame
from vlm_gym.render.icons import ICON_DRAWINGS
from vlm_gym.render.layout import Place
from vlm_gym.render.look import Look
from vlm_gym.render.shapes import OUTLINES
from vlm_gym.render.theme import RGB, THEMES, hues, ink_on, oklab, rgb, srgb
from vlm_gym.scene import COLORS, SHAPES, Symbol

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONTS = ("rounded", "sans", "serif", "mono")
GRAIN = 28.0
"""Standard deviation of noise 1 in grey levels."""

_FINE = 64
"""Cells below this size are drawn four times larger and averaged down, others three times."""


class Overlay(NamedTuple):
    """An object as it is drawn over cells: ``paint + keep / 256 * below``."""

    paint: NDArray[np.uint8]
    """(cell, cell, 3)."""
    keep: NDArray[np.uint16]
    """How much of the pixel below stays, 0 to 256: (cell, cell, 1)."""
    box: tuple[slice, slice]
    """Rows and columns outside of which all of it stays. A ball fills a quarter of its cell."""

    def draw(self, frame: Frame, corner: Place) -> None:
        """Draw with the top left pixel of its cell at `corner`."""
        y, x = corner
        rows, cols = self.box
        below = frame[y + rows.start : y + rows.stop, x + cols.start : x + cols.stop]
        mixed = below * self.keep[self.box]
        mixed >>= 8
        below[...] = mixed
        below += self.paint[self.box]


class Brush:
    """Draws the sprites of one look, theme and cell size."""

    def __init__(self, look: Look, theme: str, cell: int) -> None:
        self.look = look
        self.theme = THEMES[theme]
        self.cell = cell
        self.hues = hues(self.theme, look.color_distance)
        self.board = self.develop(np.full((1, 1, 3), rgb(self.theme.board), np.uint8))[0, 0]
        """Colour of the board where there is no cell, uint8 (3,)."""

    def sprite(self, symbol: Symbol | None, variant: int) -> NDArray[np.uint8]:
        """Draw a cell, (cell, cell, 3). Equal arguments give equal pixels."""
        from PIL import Image, ImageDraw

        zoom = 4 if self.cell < _FINE else 3
        side = self.cell * zoom
        dice = Dice(variant, sum(map(ord, str(symbol))))
        canvas = Image.new("RGB", (side, side), rgb(self.theme.board))
        pen = ImageDraw.Draw(canvas, "RGBA")
        gap = side * 0.035
        pen.rounded_rectangle(
            (gap, gap, side - gap, side - gap), self.theme.corner * side, rgb(self.theme.slot)
        )
        self._clutter(pen, side, gap, dice, rgb(self.theme.ink))
        if symbol is not None:
            tile, outline, corner = self._placed(symbol, side, gap, dice)
            canvas.paste(tile, corner, outline)
        return self._shrink(canvas, zoom)

    def overlay(self, symbol: Symbol, variant: int) -> Overlay:
        """Draw a symbol as an object. Equal arguments give equal pixels."""
        from PIL import Image

        zoom = 4 if self.cell < _FINE else 3
        side = self.cell * zoom
        dice = Dice(variant, sum(map(ord, str(symbol))))
        tile, outline, corner = self._placed(symbol, side, side * 0.035, dice)
        paint = Image.new("RGB", (side, side))
        paint.paste(tile, corner, outline)
        mask = Image.new("L", (side, side))
        mask.paste(outline, corner)
        colors = self._shrink(paint, zoom)
        cover = self._shrink(mask, zoom, developed=False)[:, :, None].astype(np.int64)
        # Colour and mask are rounded separately, so `keep` is limited to avoid an overflow of their sum.
        brightest = 255 - headroom(self.look)
        limit = ((brightest - colors.max(axis=2, keepdims=True).astype(np.int64) + 1) * 256 - 1) // brightest
        keep = np.minimum(256 - (cover * 256 + 127) // 255, limit)
        filled = (keep < 256).any(axis=2) | colors.any(axis=2)
        rows = np.flatnonzero(filled.any(axis=1))
        cols = np.flatnonzero(filled.any(axis=0))
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
        return Overlay(colors, keep.astype(np.uint16), box)

    def note(self, text: str, variant: int, line: int, width: int) -> Frame:
        """Draw a note, (line, width, 3), on paper of its own. Equal arguments give equal pixels."""
        from PIL import Image, ImageDraw, ImageFilter

        dice = Dice(variant, sum(map(ord, text)))
        canvas = Image.new("RGB", (width, line), rgb(self.theme.board))
        pen = ImageDraw.Draw(canvas, "RGBA")
        inset = max(1, line // 14)
        box = (0, inset, width - 1, line - 1 - inset)
        pen.rounded_rectangle(box, self.theme.corner * line, rgb(self.theme.face))
        for left in range(0, width, line):
            self._clutter(pen, line, inset, dice, rgb(self.theme.ink), left)
        name = FONTS[dice.below(len(FONTS))] if dice.chance(self.look.variation) else FONTS[1]
        size = line * (0.66 - 0.1 * self.look.variation * _share(dice))
        room = width - line
        size *= min(1.0, room / max(1.0, _font(name, round(size)).getlength(text)))
        face = _font(name, max(round(size), 5))
        stray = (room - face.getlength(text)) * self.look.jitter * _share(dice) / 4
        pen.text((line / 2 + max(0.0, stray), line / 2), text, rgb(self.theme.ink), face, anchor="lm")
        if self.look.blur:
            canvas = canvas.filter(ImageFilter.GaussianBlur(self.look.blur * 0.04 * line))
        return self.develop(np.asarray(canvas))

    def _placed(
        self, symbol: Symbol, side: int, gap: float, dice: Dice
    ) -> "tuple[Image, Image, tuple[int, int]]":
        """Draw a tile and its outline, tilted, and choose where its top left corner lies in its cell."""
        from PIL import Image

        tile, outline = self._tile(symbol, round(self.look.tile * (side - 2 * gap)), dice)
        angle = (2 * _share(dice) - 1) * self.look.rotation
        if angle:
            tile = tile.rotate(angle, Image.Resampling.BILINEAR, expand=True)
            outline = outline.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        middle = (side - tile.width) / 2
        room = max(0.0, middle) * self.look.jitter
        x = middle + (2 * _share(dice) - 1) * room
        y = middle + (2 * _share(dice) - 1) * room
        return tile, outline, (round(x), round(y))

    def _shrink(self, canvas: "Image", zoom: int, developed: bool = True) -> NDArray[np.uint8]:
        """Average a drawing down to the size of a cell, and soften it."""
        from PIL import ImageFilter

        small = canvas.reduce(zoom)
        if self.look.blur:
            small = small.filter(ImageFilter.GaussianBlur(self.look.blur * 0.04 * self.cell))
        pixels = np.asarray(small)
        return self.develop(pixels) if developed else pixels

    def develop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Leave head-room for the noise that is added later, so that adding it can never overflow."""
        room = headroom(self.look)
        return np.asarray((pixels * ((255.0 - room) / 255.0)).round(), dtype=np.uint8)

    def _tile(self, symbol: Symbol, side: int, dice: Dice) -> "tuple[Image, Image]":
        """Draw the tile with its glyph, and the outline within which it is seen."""
        from PIL import Image, ImageDraw

        if symbol.kind == "icon":
            return self._icon(symbol, side, dice)
        face = self._face(symbol, dice)
        tile = Image.new("RGB", (side, side), face)
        outline = Image.new("L", (side, side), 0)
        ImageDraw.Draw(outline).rounded_rectangle((0, 0, side - 1, side - 1), self.theme.corner * side, 255)
        pen = ImageDraw.Draw(tile, "RGBA")
        self._clutter(pen, side, side * 0.06, dice, ink_on(self.theme, face))
        scale = 1.0 - 0.22 * self.look.variation * _share(dice)
        if symbol.kind == "shape":
            self._shape(pen, symbol, side, scale, dice)
        elif symbol.kind == "picture":
            edge = round(side * 0.84 * scale)
            art = _picture(symbol.variant).resize((edge, edge), Image.Resampling.BILINEAR)
            tile.paste(art, ((side - edge) // 2, (side - edge) // 2), art)
        elif symbol.kind in ("number", "text"):
            ink = self._hue(symbol.color, dice) if symbol.color else ink_on(self.theme, face)
            self._write(pen, symbol.name, side, scale, ink, dice)
        else:
            kinds = "number, shape, icon, picture, text"
            raise ValueError(f"unknown kind of symbol {symbol.kind!r}; kinds: {kinds}")
        return tile, outline

    def _icon(self, symbol: Symbol, side: int, dice: Dice) -> "tuple[Image, Image]":
        """Draw an icon, which has no tile: it is seen within its own strokes."""
        from PIL import Image, ImageDraw

        if symbol.name not in ICON_DRAWINGS:
            raise ValueError(f"unknown icon {symbol.name!r}; icons: {', '.join(ICON_DRAWINGS)}")
        icon = ICON_DRAWINGS[symbol.name]
        paints = {"dark": rgb(self.theme.ink), "light": rgb(self.theme.face), **self.hues}
        color = symbol.color or icon.color
        paints["main"] = paints[color] if color in ("dark", "light") else self._hue(color, dice)
        scale = 1.0 - 0.18 * self.look.variation * _share(dice)
        tile = Image.new("RGB", (side, side))
        outline = Image.new("L", (side, side), 0)
        for layer, ink in ((ImageDraw.Draw(tile), None), (ImageDraw.Draw(outline), 255)):
            for stroke in icon.strokes:
                points = [(side / 2 * (1 + scale * x), side / 2 * (1 + scale * y)) for x, y in stroke.points]
                paint = paints[stroke.paint] if ink is None else ink
                if stroke.width:
                    layer.line(points, paint, max(1, round(stroke.width * scale * side)), joint="curve")
                else:
                    layer.polygon(points, paint)
        return tile, outline

    def _face(self, symbol: Symbol, dice: Dice) -> RGB:
        """Return the tile's colour: a number's tint shows its value at variation 0, and less of it above."""
        if symbol.kind != "number":
            return rgb(self.theme.face)
        ramp = self.theme.ramp
        step = max(0, int(symbol.name).bit_length() - 2) if symbol.name.isdecimal() else 0
        step += round((2 * _share(dice) - 1) * len(ramp) * 0.6 * self.look.variation)
        return rgb(ramp[min(max(step, 0), len(ramp) - 1)])

    def _shape(self, pen: "ImageDraw", symbol: Symbol, side: int, scale: float, dice: Dice) -> None:
        if symbol.name not in OUTLINES:
            raise ValueError(f"unknown shape {symbol.name!r}; shapes: {', '.join(SHAPES)}")
        hue = self._hue(symbol.color, dice)
        outline = [
            (side / 2 + x * side * 0.34 * scale, side / 2 + y * side * 0.34 * scale)
            for x, y in OUTLINES[symbol.name]
        ]
        style = dice.below(3) if dice.chance(self.look.variation) else 0
        if style == 2:  # hollow
            pen.line([*outline, *outline[:2]], hue, round(side * 0.085), joint="curve")
            return
        pen.polygon(outline, hue)
        if style == 1:  # rimmed
            pen.line([*outline, *outline[:2]], rgb(self.theme.ink), round(side * 0.03), joint="curve")

    def _hue(self, name: str, dice: Dice) -> RGB:
        """A named colour, a little lighter or darker where tiles vary."""
        if name not in self.hues:
            raise ValueError(f"unknown colour {name!r}; colours: {', '.join(COLORS)}")
        lab = oklab(np.array([self.hues[name]]))
        lab[0, 0] += (2 * _share(dice) - 1) * 0.035 * self.look.variation
        r, g, b = srgb(lab)[0]
        return int(r), int(g), int(b)

    def _write(self, pen: "ImageDraw", text: str, side: int, scale: float, ink: RGB, dice: Dice) -> None:
        font = FONTS[dice.below(len(FONTS))] if dice.chance(self.look.variation) else FONTS[0]
        size = side * (0.56 if len(text) < 3 else 0.48)
        left, top, right, bottom = _font(font, round(size)).getbbox(text)
        size *= min(1.0, 0.84 * side / (right - left)) * scale
        face = _font(font, max(round(size), 4))
        left, top, right, bottom = face.getbbox(text)
        pen.text((side / 2 - (left + right) / 2, side / 2 - (top + bottom) / 2), text, ink, face)

    def _clutter(
        self, pen: "ImageDraw", side: int, inset: float, dice: Dice, ink: RGB, left: int = 0
    ) -> None:
        """Draw faint random strokes and dots under the glyph, as clutter that hides nothing."""
        room = side - 2 * inset
        for _ in range(round(self.look.clutter * 9)):
            x = left + inset + _share(dice) * room
            y = inset + _share(dice) * room
            reach = room * (0.04 + 0.2 * _share(dice))
            color = (*dice.choice([*self.hues.values(), ink]), 70 + dice.below(60))
            if dice.chance(0.35):
                pen.ellipse((x, y, x + reach / 3, y + reach / 3), color)
            else:
                dx = (2 * _share(dice) - 1) * reach
                dy = (2 * _share(dice) - 1) * reach
                pen.line((x, y, x + dx, y + dy), color, max(1, round(side * 0.016)))


def headroom(look: Look) -> int:
    """Grey levels kept free for noise: three standard deviations to either side."""
    return round(6 * GRAIN * look.noise)


def _share(dice: Dice) -> float:
    return dice.bits() / 2.0**64


@lru_cache(maxsize=256)
def _font(name: str, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(str(files("vlm_gym.assets") / "fonts" / f"{name}.ttf"), size)


@lru_cache(maxsize=256)
def _picture(file: str) -> "Image":
    """Open a picture: relative to the shipped ones, or anywhere if the path is absolute."""
    return open_picture(Path(str(files("vlm_gym.assets"))) / "pictures" / file)
