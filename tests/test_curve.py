"""The curve in the README, drawn from what a run measures."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
MEASURED = [
    {
        "stage": "cold_start",
        "step": 350,
        "greedy/2048/exact": 0.5,
        "greedy/swap/exact": 1.0,
        "greedy/swap/reasoning": 0.25,
    },
    {"stage": "cold_start", "step": 351, "loss": 0.1},
    {
        "stage": "grpo",
        "step": 20,
        "greedy/2048/exact": 1.0,
        "greedy/2048/reasoning": 0.75,
        "greedy/swap/exact": 1.0,
    },
]


def draw(run: Path, *lines: object, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Draw the curve of a run that logged these lines."""
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, str(DOCS / "curve.py"), str(run), "-o", str(run / "curve.svg"), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_curve_has_a_point_for_each_number_that_was_measured(tmp_path: Path) -> None:
    done = draw(tmp_path, *MEASURED)
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "curve.svg").read_text()
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', svg)]
    assert heights == [95, 0, 0, 0, 47.5, 142.5]  # of 190: both games exact twice, each good once
    assert ">350<" in svg
    assert ">351<" not in svg


def test_many_games_have_a_panel_each_with_a_curve_for_each_number(tmp_path: Path) -> None:
    done = draw(tmp_path, *MEASURED, options=["--by-game"])
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "curve.svg").read_text()
    assert re.findall(r'class="title" y="-14">(.*?)<', svg) == ["2048", "Swap"]
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', svg)]
    assert heights == [95, 0, 47.5, 0, 0, 142.5]  # 2048: exact twice, then good once; Swap the same


def test_a_run_without_measurements_is_an_error_in_words(tmp_path: Path) -> None:
    done = draw(tmp_path, MEASURED[1])
    assert done.returncode == 2
    assert "has no measurements of greedy replies" in done.stderr
    assert not (tmp_path / "curve.svg").exists()


def test_the_curve_of_the_readme_shows_three_games_and_nine_measurements() -> None:
    svg = (DOCS / "quickstart.svg").read_text()
    # Moves are judged where a board is read: of each game at least one is at every measurement.
    assert svg.count("<circle") == 2 * 3 * 9
