"""One cell as pixels: a symbol drawn once, anti-aliased, with all that perception does to a single tile.

A sprite holds its whole cell, board and slot included, so a picture is put together by copying alone.
"""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlm_gym.dice import Dice
from vlm_gym.render.look import Look
from vlm_gym.render.shapes import SHAPES
from vlm_gym.render.theme import COLORS, RGB, THEMES, hues, ink_on, oklab, rgb, srgb
from vlm_gym.scene import Symbol

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONTS = ("rounded", "sans", "serif", "mono")
GRAIN = 28.0
"""Standard deviation of noise 1 in grey levels."""

_ZOOM = 4
"""Sprites are drawn this many times larger and averaged down."""


class Brush:
    """Draws the sprites of one look, theme and cell size."""

    def __init__(self, look: Look, theme: str, cell: int) -> None:
        self.look, self.theme, self.cell = look, THEMES[theme], cell
        self.hues = hues(self.theme, look.color_distance)
        self.board = self.develop(np.full((1, 1, 3), rgb(self.theme.board), np.uint8))[0, 0]
        """Colour of the board where there is no cell, uint8 (3,)."""

    def sprite(self, symbol: Symbol | None, variant: int) -> NDArray[np.uint8]:
        """Draw a cell, (cell, cell, 3). Equal arguments give equal pixels."""
        from PIL import Image, ImageDraw, ImageFilter

        side = self.cell * _ZOOM
        dice = Dice(variant, sum(map(ord, str(symbol))))
        canvas = Image.new("RGB", (side, side), rgb(self.theme.board))
        pen = ImageDraw.Draw(canvas)
        gap = side * 0.035
        pen.rounded_rectangle(
            (gap, gap, side - gap, side - gap), self.theme.corner * side, rgb(self.theme.slot)
        )
        self._clutter(canvas, dice, gap, rgb(self.theme.ink))
        if symbol is not None:
            layer = self._tile(symbol, round(self.look.tile * (side - 2 * gap)), dice)
            angle = (2 * _share(dice) - 1) * self.look.rotation
            if angle:
                layer = layer.rotate(angle, Image.Resampling.BICUBIC, expand=True)
            room = max(0.0, (side - layer.width) / 2) * self.look.jitter
            x, y = ((side - layer.width) / 2 + (2 * _share(dice) - 1) * room for _ in range(2))
            canvas.paste(layer, (round(x), round(y)), layer)
        small = canvas.reduce(_ZOOM)
        if self.look.blur:
            small = small.filter(ImageFilter.GaussianBlur(self.look.blur * 0.04 * self.cell))
        return self.develop(np.asarray(small))

    def develop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Leave head-room for the noise that is added later, so that adding it can never overflow."""
        room = headroom(self.look)
        return np.asarray((pixels * ((255.0 - room) / 255.0)).round(), dtype=np.uint8)

    def _tile(self, symbol: Symbol, side: int, dice: Dice) -> "Image":
        """Draw the tile itself with its glyph on a transparent ground."""
        from PIL import Image, ImageDraw

        layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        pen = ImageDraw.Draw(layer)
        face = self._face(symbol, dice)
        pen.rounded_rectangle((0, 0, side - 1, side - 1), self.theme.corner * side, face)
        self._clutter(layer, dice, side * 0.06, ink_on(self.theme, face))
        scale = 1.0 - 0.22 * self.look.variation * _share(dice)
        if symbol.kind == "shape":
            self._shape(pen, symbol, side, scale, dice)
        elif symbol.kind == "picture":
            art = _picture(symbol.variant).convert("RGBA")
            edge = round(side * 0.84 * scale)
            art = art.resize((edge, edge), Image.Resampling.LANCZOS)
            layer.alpha_composite(art, ((side - edge) // 2, (side - edge) // 2))
        elif symbol.kind in ("number", "text"):
            ink = self._hue(symbol.color, dice) if symbol.color else ink_on(self.theme, face)
            self._write(pen, symbol.name, side, scale, ink, dice)
        else:
            raise ValueError(f"unknown kind of symbol {symbol.kind!r}; kinds: number, shape, picture, text")
        return layer

    def _face(self, symbol: Symbol, dice: Dice) -> RGB:
        """The tile's own colour: a number's tint tells its value at variation 0 and less and less above."""
        if symbol.kind != "number":
            return rgb(self.theme.face)
        ramp = self.theme.ramp
        step = max(0, int(symbol.name).bit_length() - 2) if symbol.name.isdecimal() else 0
        step += round((2 * _share(dice) - 1) * len(ramp) * 0.6 * self.look.variation)
        return rgb(ramp[min(max(step, 0), len(ramp) - 1)])

    def _shape(self, pen: "ImageDraw", symbol: Symbol, side: int, scale: float, dice: Dice) -> None:
        if symbol.name not in SHAPES:
            raise ValueError(f"unknown shape {symbol.name!r}; shapes: {', '.join(SHAPES)}")
        hue = self._hue(symbol.color, dice)
        outline = [
            (side / 2 + x * side * 0.34 * scale, side / 2 + y * side * 0.34 * scale)
            for x, y in SHAPES[symbol.name]
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

    def _write(self, pen: "ImageDraw", words: str, side: int, scale: float, ink: RGB, dice: Dice) -> None:
        font = FONTS[dice.below(len(FONTS))] if dice.chance(self.look.variation) else FONTS[0]
        size = side * (0.56 if len(words) < 3 else 0.48)
        left, top, right, bottom = _font(font, round(size)).getbbox(words)
        size *= min(1.0, 0.84 * side / (right - left)) * scale
        face = _font(font, max(round(size), 4))
        left, top, right, bottom = face.getbbox(words)
        pen.text((side / 2 - (left + right) / 2, side / 2 - (top + bottom) / 2), words, ink, face)

    def _clutter(self, layer: "Image", dice: Dice, inset: float, ink: RGB) -> None:
        """Scatter faint strokes and dots that mean nothing. Drawn under the glyph, so nothing is hidden."""
        from PIL import Image, ImageDraw

        marks = round(self.look.clutter * 9)
        if not marks:
            return
        veil = Image.new("RGBA", layer.size, (*ink, 0))
        pen = ImageDraw.Draw(veil)
        room = layer.width - 2 * inset
        for _ in range(marks):
            x, y = inset + _share(dice) * room, inset + _share(dice) * room
            reach = room * (0.04 + 0.2 * _share(dice))
            color = (*(dice.choice([*self.hues.values(), ink])), 70 + dice.below(60))
            if dice.chance(0.35):
                pen.ellipse((x, y, x + reach / 3, y + reach / 3), color)
            else:
                dx, dy = (2 * _share(dice) - 1) * reach, (2 * _share(dice) - 1) * reach
                pen.line((x, y, x + dx, y + dy), color, max(1, round(layer.width * 0.016)))
        mask = veil.getchannel("A")
        if layer.mode == "RGBA":
            mask = Image.composite(mask, Image.new("L", layer.size, 0), layer.getchannel("A"))
            alpha = layer.getchannel("A")
            layer.paste(veil.convert("RGB"), (0, 0), mask)
            layer.putalpha(alpha)
        else:
            layer.paste(veil.convert("RGB"), (0, 0), mask)


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
    from PIL import Image

    with Image.open(Path(str(files("vlm_gym.assets"))) / "pictures" / file) as image:
        return image.convert("RGBA")
