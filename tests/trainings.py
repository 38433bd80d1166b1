"""Training runs as commands of their own, and what they log."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TASKS = """
[[task]]
game = "2048"
reasoning = "0"
perception = "level=0,size=64"
moves = 4

[[task]]
game = "swap"
reasoning = "0"
perception = "level=0,size=96"
moves = 4
"""
"""The tasks of a recipe that is learnt from in seconds."""
_CLOCK = ("seconds", "step_time")
"""How the names of numbers begin that no two runs share."""


def begin(config: Path, out: Path, *options: str, through: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a training run, `through` a launcher if there is one."""
    return started("-m", *through, "vlm_gym.cli", "train", str(config), "-o", str(out), *options)


def started(*words: str) -> subprocess.Popen[str]:
    """Start a program of this Python."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def numbers(out: Path, stage: str = "") -> list[dict[str, Any]]:
    """Read the whole lines of a run, but for what the clock says; those of one stage, if it is named."""
    path = out / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    lines = [without_clock(json.loads(line)) for line in text.split("\n")[:-1]]
    return [line for line in lines if stage in ("", line["stage"])]


def without_clock(line: dict[str, Any]) -> dict[str, Any]:
    """Leave out the numbers of a line that the clock says."""
    return {name: value for name, value in line.items() if not name.startswith(_CLOCK)}
