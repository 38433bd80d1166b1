"""Draw what a training run measured of its greedy replies, as SVG.

python docs/curve.py runs/quickstart -o docs/quickstart.svg

Whenever a run saves, it replies greedily to some positions of each game, and logs the results in
`metrics.jsonl`.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vlm_gym.registry import find

PANELS = {"exact": "Boards read without an error, %", "reasoning": "Moves as good as the solver's, %"}
"""The numbers that are drawn, and their titles."""
COLORS = ("#2f6fb3", "#d0782f", "#5b9a6b", "#8a63b8", "#777777", "#b33f5f")
STAGES = {"cold_start": "cold start", "grpo": "GRPO"}
STYLE = (
    "text{font:13px sans-serif;fill:#555}.title{font-weight:bold;fill:#222}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
)

WIDE = 360  # of a panel
HIGH = 190  # of the axes
LEFT = 50
TOP = 64

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


def draw(measured: Sequence[Measured]) -> str:
    """Draw a panel for each number, with a curve for each game."""
    games = list[str]()
    for _, _, numbers in measured:
        games += [name.split("/")[0] for name in numbers]
    games = list(dict.fromkeys(games))  # each once, in order
    width = LEFT + len(PANELS) * (WIDE + LEFT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HIGH + 56}" width="{width}">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
    ]
    for place, game in enumerate(games):
        x = LEFT + 130 * place
        parts.append(f'<rect x="{x}" y="13" width="16" height="4" fill="{COLORS[place % len(COLORS)]}"/>')
        parts.append(f'<text x="{x + 24}" y="20">{find(game).title}</text>')
    for place, (number, title) in enumerate(PANELS.items()):
        parts.append(f'<g transform="translate({LEFT + place * (WIDE + LEFT)} {TOP})">')
        parts += panel(measured, games, number, title)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(measured: Sequence[Measured], games: Sequence[str], number: str, title: str) -> Iterator[str]:
    """Draw the curves of one number, in percent, over the measurements."""
    step = WIDE / len(measured)
    xs = [step * (place + 0.5) for place in range(len(measured))]
    yield f'<text class="title" y="-14">{title}</text>'
    for percent in (0, 50, 100):
        y = HIGH * (1 - percent / 100)
        yield f'<path d="M0 {y:g}H{WIDE}" stroke="#ddd"/>'
        yield f'<text class="end" x="-8" y="{y + 4:g}">{percent}</text>'
    for x, (_, steps, _) in zip(xs, measured, strict=True):
        yield f'<text class="mid" x="{x:.1f}" y="{HIGH + 20}">{steps:,}</text>'
    for stage, name in STAGES.items():
        of_stage = [x for x, (at, _, _) in zip(xs, measured, strict=True) if at == stage]
        if of_stage:
            middle = (of_stage[0] + of_stage[-1]) / 2
            yield f'<text class="mid" x="{middle:.1f}" y="{HIGH + 40}">steps of {name}</text>'
            yield f'<path d="M{of_stage[0] - step / 2:.1f} 0V{HIGH}" stroke="#ddd"/>'
    for place, game in enumerate(games):
        color = COLORS[place % len(COLORS)]
        points = [
            (x, HIGH * (1 - numbers[f"{game}/{number}"]))
            for x, (_, _, numbers) in zip(xs, measured, strict=True)
            if f"{game}/{number}" in numbers
        ]
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
    asked = parser.parse_args()
    try:
        asked.out.write_text(draw(measurements(asked.run)))
    except (OSError, ValueError) as error:
        parser.error(str(error))
