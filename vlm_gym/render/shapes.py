"""Outlines of the shapes, as polygons in a square from -1 to 1, y downward."""

from collections.abc import Mapping
from math import cos, pi, sin

Outline = tuple[tuple[float, float], ...]


def _regular(corners: int, inner: float = 1.0, start: float = -pi / 2) -> Outline:
    """A regular polygon, or a star where every other corner is drawn in to `inner`."""
    turn = 2 * pi / corners
    outline = list[tuple[float, float]]()
    for index in range(corners):
        radius = 1.0 if index % 2 == 0 else inner
        angle = start + index * turn
        outline.append((radius * cos(angle), radius * sin(angle)))
    return tuple(outline)


def _heart() -> Outline:
    outline = list[tuple[float, float]]()
    for index in range(96):
        t = index * 2 * pi / 96
        x = 16 * sin(t) ** 3 / 17
        y = -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 17 - 0.12
        outline.append((x, y))
    return tuple(outline)


def _cross(arm: float = 0.34) -> Outline:
    return (
        (-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm),
        (arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm),
    )  # fmt: skip


OUTLINES: Mapping[str, Outline] = {
    "circle": _regular(96),
    "square": ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    "triangle": ((0, -1), (1.05, 0.84), (-1.05, 0.84)),
    "star": tuple((1.1 * x, 1.1 * y + 0.08) for x, y in _regular(10, inner=0.44)),
    "diamond": ((0, -1.12), (0.78, 0), (0, 1.12), (-0.78, 0)),
    "heart": _heart(),
    "cross": _cross(),
    "hexagon": _regular(6, start=0.0),
}
"""Every shape a `Symbol` of kind ``shape`` can name."""
