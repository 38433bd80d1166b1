"""Draw what a training run measured of its greedy replies, as SVG.

python docs/curve.py runs/quickstart -o docs/quickstart.svg

python docs/curve.py runs/all_games -o docs/all_games.svg --by-game

Whenever a run saves, it replies greedily to some positions of each game, and logs the results in
`metrics.jsonl`.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vlm_gym.registry import find

MEASURES = {
    "exact": "Boards read without an error, %",
    "true": "True sentences of thoughts, %",
    "reasoning": "Moves as good as the solver's, %",
}
"""The numbers that can be drawn, and their titles."""
BY_MEASURE = ("exact", "reasoning")
"""The numbers that have a panel each, with a curve for each game, unless each game has one."""
COLORS = ("#2f6fb3", "#d0782f", "#5b9a6b", "#8a63b8", "#777777", "#b33f5f")
STAGES = {"cold_start": "cold start", "grpo": "GRPO"}
STYLE = (
    "text{font:13px sans-serif;fill:#555}.title{font-weight:bold;fill:#222}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
)

LEFT = 50
TOP = 64
HIGH = 190  # of the axes
BELOW = 56


class Layout(NamedTuple):
    """How panels are laid out, in pixels."""

    columns: int
    wide: int
    """Of the axes."""
    apart: int
    """From one name in the legend to the next."""


FEW_PANELS = Layout(columns=2, wide=360, apart=130)
MANY_PANELS = Layout(columns=4, wide=220, apart=250)


class Panel(NamedTuple):
    """A panel: its title, and its curves by the names of their numbers."""

    title: str
    curves: Sequence[str]


Measured = tuple[str, int, Mapping[str, float]]
"""Stage, step, and numbers by ``GAME/NUMBER``."""


def measurements(run: Path) -> list[Measured]:
    """Read the measurements of greedy replies of a run. Raises `ValueError` without any."""
    found = list[Measured]()
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        numbers = {name.removeprefix("greedy/"): row[name] for name in row if name.startswith("greedy/")}
        if numbers:
            found.append((row["stage"], row["step"], numbers))
    if not found:
        raise ValueError(f"{run} has no measurements of greedy replies; set `save` in its recipe")
    return found


def draw(measured: Sequence[Measured], by_game: bool = False) -> str:
    """Draw a panel for each number with a curve for each game, or the other way round if `by_game`."""
    games = list[str]()
    for _, _, numbers in measured:
        games += [name.split("/")[0] for name in numbers]
    games = list(dict.fromkeys(games))  # each once, in order
    panels = list[Panel]()
    if by_game:
        names = list(MEASURES.values())
        for game in games:
            panels.append(Panel(find(game).title, [f"{game}/{measure}" for measure in MEASURES]))
    else:
        names = [find(game).title for game in games]
        for measure in BY_MEASURE:
            panels.append(Panel(MEASURES[measure], [f"{game}/{measure}" for game in games]))
    layout = MANY_PANELS if by_game else FEW_PANELS
    rows = -(-len(panels) // layout.columns)  # rounded up
    width = LEFT + layout.columns * (layout.wide + LEFT)
    height = TOP + rows * (HIGH + BELOW) + (rows - 1) * TOP // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
    ]
    for place, name in enumerate(names):
        x = LEFT + layout.apart * place
        parts.append(f'<rect x="{x}" y="13" width="16" height="4" fill="{COLORS[place % len(COLORS)]}"/>')
        parts.append(f'<text x="{x + 24}" y="20">{name}</text>')
    for place, panel in enumerate(panels):
        row, column = divmod(place, layout.columns)
        x = LEFT + column * (layout.wide + LEFT)
        y = TOP + row * (HIGH + BELOW + TOP // 2)
        parts.append(f'<g transform="translate({x} {y})">')
        parts += draw_panel(measured, panel, layout.wide)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def draw_panel(measured: Sequence[Measured], panel: Panel, wide: int) -> Iterator[str]:
    """Draw the curves of a panel, in percent, over the measurements."""
    step = wide / len(measured)
    xs = [step * (place + 0.5) for place in range(len(measured))]
    yield f'<text class="title" y="-14">{panel.title}</text>'
    for percent in (0, 50, 100):
        y = HIGH * (1 - percent / 100)
        yield f'<path d="M0 {y:g}H{wide}" stroke="#ddd"/>'
        yield f'<text class="end" x="-8" y="{y + 4:g}">{percent}</text>'
    # A label takes some 45 pixels: of many measurements, every second or third has one.
    every = -(-45 // int(step)) if step >= 1 else len(measured)
    for place, (x, (_, steps, _)) in enumerate(zip(xs, measured, strict=True)):
        if (len(measured) - 1 - place) % every == 0:
            yield f'<text class="mid" x="{x:.1f}" y="{HIGH + 20}">{steps:,}</text>'
    for stage, name in STAGES.items():
        of_stage = [x for x, (at, _, _) in zip(xs, measured, strict=True) if at == stage]
        if of_stage:
            middle = (of_stage[0] + of_stage[-1]) / 2
            yield f'<text class="mid" x="{middle:.1f}" y="{HIGH + 40}">steps of {name}</text>'
            yield f'<path d="M{of_stage[0] - step / 2:.1f} 0V{HIGH}" stroke="#ddd"/>'
    for place, curve in enumerate(panel.curves):
        color = COLORS[place % len(COLORS)]
        points = [
            (x, HIGH * (1 - numbers[curve]))
            for x, (_, _, numbers) in zip(xs, measured, strict=True)
            if curve in numbers
        ]
        if not points:  # it was not measured
            continue
        line = " L".join([f"{x:.1f} {y:.1f}" for x, y in points])
        yield f'<path d="M{line}" fill="none" stroke="{color}" stroke-width="2"/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of a training run")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the SVG file to write")
    parser.add_argument(
        "--by-game", action="store_true", help="draw a panel for each game, as suits many games"
    )
    asked = parser.parse_args()
    try:
        asked.out.write_text(draw(measurements(asked.run), asked.by_game))
    except (OSError, ValueError) as error:
        parser.error(str(error))
