"""Charts as SVG inside a page: the page's style sheet colours them, in light and in dark."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isnan

from vlm_gym.evaluation.stats import Estimate

Curve = Sequence[tuple[float, float]]
"""(x, y) in order of x."""

_WIDE = 120.0
_HIGH = 14.0
_PLOT_WIDE = 300.0
_PLOT_HIGH = 150.0
_LEFT = 44.0
_BOTTOM = 20.0
_POINTS = 200
"""Points of a curve at most; the rest is averaged into them."""


def whisker(estimate: Estimate, span: tuple[float, float], marks: Sequence[float] = ()) -> str:
    """Draw a dot on its interval, on a line that stands for `span`, with `marks` to compare it with."""
    lowest, highest = span
    width = (highest - lowest) or 1.0

    def x(value: float) -> str:
        return f"{4 + (min(max(value, lowest), highest) - lowest) / width * (_WIDE - 8):.1f}"

    mean, low, high = estimate
    middle = _HIGH / 2
    ticks = ""
    for mark in marks:
        ticks += f'<path class="mark" d="M{x(mark)} 1V{_HIGH - 1:g}"/>'
    reach = f'<path class="reach" d="M{x(low)} {middle:g}H{x(high)}"/>' if not isnan(low) else ""
    return (
        f'<svg class="whisker" viewBox="0 0 {_WIDE:g} {_HIGH:g}" aria-hidden="true">'
        f'<path class="axis" d="M4 {middle:g}H{_WIDE - 4:g}"/>{ticks}{reach}'
        f'<circle cx="{x(mean)}" cy="{middle:g}" r="3.2"/></svg>'
    )


def plot(name: str, curves: Mapping[int, Curve]) -> str:
    """Draw curves over one axis of steps, each in the colour of its number."""
    thinned = {number: thin(curve) for number, curve in curves.items()}
    xs = list[float]()
    ys = list[float]()
    for number, curve in curves.items():
        xs += [x for x, _ in curve]
        ys += [y for _, y in thinned[number]]
    first = min(xs)
    last = max(xs)
    low = min(ys)
    high = max(ys)
    if low == high:  # then the axis goes to 0, which every share can reach
        low, high = (min(low, 0.0), max(high, 0.0)) if low else (0.0, 1.0)

    def coordinates(point: tuple[float, float]) -> str:
        x = _LEFT + (point[0] - first) / ((last - first) or 1) * (_PLOT_WIDE - _LEFT - 6)
        y = 8 + (high - point[1]) / (high - low) * (_PLOT_HIGH - _BOTTOM - 14)
        return f"{x:.1f} {y:.1f}"

    lines = ""
    for number, curve in thinned.items():
        path = " L".join(map(coordinates, curve))
        if len(curve) == 1:  # a line of no length, which round ends make a dot
            path += "h0"
        lines += f'<path class="curve c{number % 6}" d="M{path}"/>'
    _, top = coordinates((first, high)).split()
    _, bottom = coordinates((first, low)).split()
    digits = 2  # enough for the two ends of the axis to differ
    while digits < 5 and short(high, digits) == short(low, digits):
        digits += 1
    return (
        f'<figure class="plot"><figcaption>{escape(name)}</figcaption>'
        f'<svg viewBox="0 0 {_PLOT_WIDE:g} {_PLOT_HIGH:g}" role="img" aria-label="{escape(name)} by step">'
        f'<path class="axis" d="M{_LEFT:g} {top}H{_PLOT_WIDE - 6:g}M{_LEFT:g} {bottom}H{_PLOT_WIDE - 6:g}"/>'
        f'<text class="end" x="{_LEFT - 6:g}" y="{top}" dy=".35em">{short(high, digits)}</text>'
        f'<text class="end" x="{_LEFT - 6:g}" y="{bottom}" dy=".35em">{short(low, digits)}</text>'
        f'<text x="{_LEFT:g}" y="{_PLOT_HIGH - 4:g}">{short(first)}</text>'
        f'<text class="end" x="{_PLOT_WIDE - 6:g}" y="{_PLOT_HIGH - 4:g}">{short(last)}</text>'
        f"{lines}</svg></figure>"
    )


def thin(curve: Curve) -> Curve:
    """Sort a curve by step, and average neighbours until few enough points are left."""
    ordered = sorted(curve)
    size = -(-len(ordered) // _POINTS)  # points that are averaged into one, rounded up
    thinned = []
    for start in range(0, len(ordered), size):
        steps, values = zip(*ordered[start : start + size], strict=True)
        thinned.append((sum(steps) / len(steps), sum(values) / len(values)))
    return thinned


def short(value: float, digits: int = 3) -> str:
    """Write a number in few characters: so many significant digits, or all digits before the point."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    else:
        text = f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return text.replace("-", "−")
