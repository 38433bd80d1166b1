"""Drawings of the icons, as strokes in a square from -1 to 1, y downward: the room of a tile."""

from collections.abc import Iterator, Mapping
from math import cos, pi, sin
from typing import NamedTuple

from vlm_gym.render.shapes import Outline


class Stroke(NamedTuple):
    """A polygon to fill, or with a `width`, as a share of the tile, a line along its corners.

    `paint` is ``main`` (the colour of the symbol), ``dark`` and ``light`` (ink and face of the theme), or one
    of `vlm_gym.scene.COLORS`.
    """

    paint: str
    points: Outline
    width: float = 0.0


class Icon(NamedTuple):
    """Strokes, the first one lowest; `color` is the main paint of a symbol without a colour."""

    color: str
    strokes: tuple[Stroke, ...]


def _rectangle(left: float, top: float, right: float, bottom: float) -> Outline:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _circle(radius: float, x: float = 0.0, y: float = 0.0, corners: int = 48) -> Outline:
    turns = [2 * pi * corner / corners for corner in range(corners)]
    return tuple((x + radius * cos(turn), y + radius * sin(turn)) for turn in turns)


def _closed(outline: Outline) -> Outline:
    """Append the first two corners, so that a line along them joins its own beginning."""
    return (*outline, *outline[:2])


def _wall() -> Iterator[Stroke]:
    yield Stroke("main", _rectangle(-1, -1, 1, 1))
    for y in (-0.34, 0.34):
        yield Stroke("light", ((-1, y), (1, y)), 0.05)
    for x, top in ((-0.3, -1), (0.3, -0.34), (-0.3, 0.34)):
        yield Stroke("light", ((x, top), (x, top + 0.66)), 0.05)


def _box(paint: str) -> Iterator[Stroke]:
    yield Stroke(paint, _rectangle(-0.85, -0.85, 0.85, 0.85))
    yield Stroke("dark", _closed(_rectangle(-0.78, -0.78, 0.78, 0.78)), 0.07)


def _person() -> Iterator[Stroke]:
    body = ((-0.22, -0.12), (0.22, -0.12), (0.6, 0.5), (0.36, 0.62), (0.3, 0.95), (-0.3, 0.95))
    yield Stroke("main", (*body, (-0.36, 0.62), (-0.6, 0.5)))
    yield Stroke("main", _circle(0.36, y=-0.54))
    yield Stroke("light", _circle(0.08, x=-0.14, y=-0.58))
    yield Stroke("light", _circle(0.08, x=0.14, y=-0.58))


def _mine() -> Iterator[Stroke]:
    for turn in range(4):
        x = 0.86 * cos(turn * pi / 4)
        y = 0.86 * sin(turn * pi / 4)
        yield Stroke("main", ((-x, -y), (x, y)), 0.08)
    yield Stroke("main", _circle(0.58))
    yield Stroke("light", _circle(0.16, x=-0.2, y=-0.2))


def _head() -> Iterator[Stroke]:
    yield Stroke("main", _circle(0.86))
    for x in (-0.36, 0.36):
        yield Stroke("light", _circle(0.25, x=x, y=-0.2))
        yield Stroke("dark", _circle(0.12, x=x, y=-0.2))
    yield Stroke("dark", ((-0.4, 0.36), (0, 0.5), (0.4, 0.36)), 0.06)


def _body() -> Iterator[Stroke]:
    yield Stroke("main", _circle(0.86, corners=8))
    for x, y in ((0.0, -0.42), (-0.42, 0.0), (0.42, 0.0), (0.0, 0.42)):
        yield Stroke("dark", _circle(0.14, x=x, y=y))


def _food() -> Iterator[Stroke]:
    yield Stroke("main", _circle(0.46, x=-0.24, y=0.22))
    yield Stroke("main", _circle(0.46, x=0.24, y=0.22))
    yield Stroke("dark", ((0, -0.1), (0.06, -0.7)), 0.07)
    yield Stroke("green", ((0.06, -0.4), (0.36, -0.78), (0.68, -0.62), (0.36, -0.36)))


def _arrow(quarters: int) -> Iterator[Stroke]:
    right = ((0.0, -0.86), (0.72, -0.06), (0.27, -0.06), (0.27, 0.8))
    outline: Outline = (*right, (-0.27, 0.8), (-0.27, -0.06), (-0.72, -0.06))
    for _ in range(quarters):
        outline = tuple((-y, x) for x, y in outline)  # a quarter turn to the right
    yield Stroke("main", outline)


_RING = Stroke("red", _closed(_circle(0.8)), 0.09)

ICON_DRAWINGS: Mapping[str, Icon] = {
    "wall": Icon("dark", tuple(_wall())),
    "box": Icon(
        "orange",
        (
            *_box("main"),
            Stroke("dark", ((-0.7, -0.7), (0.7, 0.7)), 0.07),
            Stroke("dark", ((-0.7, 0.7), (0.7, -0.7)), 0.07),
        ),
    ),
    "box on goal": Icon(
        "green", (*_box("main"), Stroke("light", _circle(0.46)), Stroke("red", _circle(0.24)))
    ),
    "goal": Icon("red", (Stroke("main", _closed(_circle(0.52)), 0.09), Stroke("main", _circle(0.2)))),
    "player": Icon("blue", tuple(_person())),
    "player on goal": Icon("blue", (_RING, *_person())),
    "key": Icon(
        "yellow",
        (
            Stroke("main", _closed(_circle(0.34, y=-0.48)), 0.11),
            Stroke("main", ((0, -0.14), (0, 0.9)), 0.11),
            Stroke("main", ((0, 0.46), (0.4, 0.46)), 0.1),
            Stroke("main", ((0, 0.8), (0.46, 0.8)), 0.1),
        ),
    ),
    "door": Icon(
        "orange",
        (
            Stroke("dark", _rectangle(-0.74, -0.95, 0.74, 0.95)),
            Stroke("main", _rectangle(-0.58, -0.8, 0.58, 0.95)),
            Stroke("light", _circle(0.12, x=0.32, y=0.12)),
        ),
    ),
    "hidden": Icon(
        "blue",
        (
            Stroke("main", _rectangle(-0.94, -0.94, 0.94, 0.94)),
            Stroke("light", _closed(_rectangle(-0.7, -0.7, 0.7, 0.7)), 0.05),
            Stroke("light", ((0, -0.4), (0.4, 0), (0, 0.4), (-0.4, 0))),
        ),
    ),
    "flag": Icon(
        "red",
        (
            Stroke("dark", ((-0.4, -0.86), (-0.4, 0.86)), 0.07),
            Stroke("dark", ((-0.66, 0.86), (0.2, 0.86)), 0.09),
            Stroke("main", ((-0.36, -0.86), (0.76, -0.4), (-0.36, 0.06))),
        ),
    ),
    "mine": Icon("dark", tuple(_mine())),
    "head": Icon("green", tuple(_head())),
    "body": Icon("green", tuple(_body())),
    "tail": Icon("green", (Stroke("main", ((0, -0.86), (0.66, 0.8), (-0.66, 0.8))),)),
    "food": Icon("red", tuple(_food())),
    "block": Icon(
        "dark",
        (
            Stroke("main", _rectangle(-0.95, -0.95, 0.95, 0.95)),
            Stroke("light", _closed(_rectangle(-0.62, -0.62, 0.62, 0.62)), 0.06),
        ),
    ),
    "disc": Icon("red", (Stroke("main", _circle(0.88)), Stroke("light", _closed(_circle(0.56)), 0.06))),
    "ball": Icon("dark", (Stroke("main", _circle(0.5)), Stroke("light", _circle(0.15, x=-0.16, y=-0.16)))),
    "paddle": Icon(
        "blue",
        (
            Stroke("main", _rectangle(-1, -0.34, 1, 0.34)),
            Stroke("light", ((-1, -0.1), (1, -0.1)), 0.05),
        ),
    ),
    "brick": Icon(
        "orange",
        (
            Stroke("main", _rectangle(-0.97, -0.56, 0.97, 0.56)),
            Stroke("dark", ((-0.97, 0.5), (0.97, 0.5)), 0.06),
        ),
    ),
    "dot": Icon("dark", (Stroke("main", _circle(0.24)),)),
    "up arrow": Icon("blue", tuple(_arrow(0))),
    "right arrow": Icon("blue", tuple(_arrow(1))),
    "down arrow": Icon("blue", tuple(_arrow(2))),
    "left arrow": Icon("blue", tuple(_arrow(3))),
}
"""Every icon a `Symbol` of kind ``icon`` can name."""
