"""What docs/evaluation.md tells: its commands run, its suite loads, and it leaves no number out."""

import os
import re
import subprocess
import sys
from pathlib import Path

from vlm_gym.evaluation.metrics import NORMALISED, NUMBERS
from vlm_gym.evaluation.suite import suite, suites

DOCUMENT = (Path(__file__).parents[1] / "docs/evaluation.md").read_text()


def test_every_command_runs(tmp_path):
    (block,) = re.findall(r"```console\n(.*?)```", DOCUMENT, re.S)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = [line.removeprefix("$ ") for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        done = subprocess.run(
            command.split(),
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    assert "all numbers as they should be" in done.stdout


def test_the_suite_in_it_is_one(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.S)
    (tmp_path / "mine.toml").write_text(text)
    assert suite(str(tmp_path / "mine.toml")).part[0].turns == 20
    assert set(re.findall(r"^- `(\w+)`:", DOCUMENT, re.M)) == set(suites())


def test_every_number_is_explained_once():
    told = re.findall(r"^\| ((?:`\w+`,? ?)+) \|", DOCUMENT.split("## What is written")[0], re.M)
    assert sorted(name for cell in told for name in re.findall(r"\w+", cell)) == sorted(
        [*NUMBERS, NORMALISED]
    )
