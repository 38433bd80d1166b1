"""Colours: what red is in each theme, how numbers are tinted, and how to pull colours together."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlm_gym.scene import COLORS

RGB = tuple[int, int, int]


class Theme(NamedTuple):
    """A set of colours as ``rrggbb``; `hues` as in `COLORS`, `ramp` tints number tiles from 2 upward."""

    board: str
    slot: str
    face: str
    ink: str
    hues: tuple[str, ...]
    ramp: tuple[str, ...]
    corner: float
    """Radius of a tile's corners as a share of its side."""


THEMES: Mapping[str, Theme] = {
    "classic": Theme(
        board="b8aa9a",
        slot="cabfb0",
        face="f8f3ea",
        ink="574b40",
        hues=("d93636", "2767d9", "2c9a48", "f2c21a", "8a3fc0", "f07f1d"),
        ramp=(
            "f0e6da", "ecdcbf", "f2b179", "f29360", "ef7657", "e85437",
            "efd071", "eec95c", "e9c044", "e2b42c", "d9a514", "3d3a33",
        ),
        corner=0.09,
    ),
    "night": Theme(
        board="12151c",
        slot="1d222d",
        face="2c3443",
        ink="eef1f6",
        hues=("ff5d5d", "4f9dff", "41cf74", "ffd93b", "bd7bff", "ff9838"),
        ramp=(
            "2d3a4e", "2b4a66", "275d80", "1f7394", "178a9c", "1d9f93",
            "35b07f", "5fbd66", "93c64f", "c9ca45", "f0c94c", "f7ecc0",
        ),
        corner=0.2,
    ),
    "candy": Theme(
        board="f6d7e0",
        slot="f1c6d3",
        face="fffafb",
        ink="5a3148",
        hues=("e0425c", "3f7fe0", "38a169", "eebc1c", "9450cc", "f08a3c"),
        ramp=(
            "fff3f6", "ffe1ea", "ffc9dc", "fbaecb", "f48fb8", "e86fa6",
            "d45fb0", "b45bbd", "9058c4", "6b57c4", "4b57bd", "33418f",
        ),
        corner=0.32,
    ),
    "print": Theme(
        board="e9e9e4",
        slot="dcdcd5",
        face="ffffff",
        ink="22262b",
        hues=("c62828", "1550b8", "1b7d3a", "e0ae00", "6f2da8", "e06c00"),
        ramp=(
            "ffffff", "e6eef5", "cadcec", "abc8e1", "8bb2d5", "6b9bc7",
            "4e84b7", "366da4", "24578f", "174378", "0f3160", "081f44",
        ),
        corner=0.03,
    ),
}  # fmt: skip


def rgb(code: str) -> RGB:
    """Read ``rrggbb``."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def hues(theme: Theme, distance: float) -> dict[str, RGB]:
    """Name the theme's colours, pulled towards their middle so that `distance` of their spread is left.

    Measured in OKLab (Ottosson, 2020), where equal distances look equally far.
    """
    lab = oklab(np.array(list(map(rgb, theme.hues))))
    lab = lab.mean(axis=0) + distance * (lab - lab.mean(axis=0))
    return {name: (int(r), int(g), int(b)) for name, (r, g, b) in zip(COLORS, srgb(lab), strict=True)}


def ink_on(theme: Theme, paper: RGB) -> RGB:
    """Choose dark or light ink, whichever stands out more."""
    inks = np.array([rgb(theme.ink), (255, 255, 255), (24, 24, 28)])
    # The theme's own ink wins unless it is clearly harder to read than black or white.
    contrast = np.abs(oklab(inks)[:, 0] - oklab(np.array([paper]))[0, 0]) * (1.5, 1.0, 1.0)
    r, g, b = inks[int(contrast.argmax())]
    return int(r), int(g), int(b)


_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colors: NDArray[np.integer]) -> NDArray[np.float64]:
    """Turn sRGB colours, (..., 3) in 0..255, into OKLab."""
    share = colors / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab


def srgb(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Turn OKLab colours into sRGB, (..., 3) uint8, clipping what a screen cannot show."""
    linear = ((lab @ np.linalg.inv(_TO_LAB).T) ** 3) @ np.linalg.inv(_TO_LMS).T
    linear = linear.clip(0.0, 1.0)
    share = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray((share * 255.0).round(), dtype=np.uint8)
