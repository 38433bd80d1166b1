"""Every command and every line of Python in the README works as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].removeprefix("$ ").strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for line in block.splitlines()
]
PYTHON = "\n".join(re.findall(r"```python\n(.*?)```", README, re.S))


def test_there_is_something_to_try() -> None:
    assert len(COMMANDS) > 8
    assert "gym.make" in PYTHON


def test_the_python_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PYTHON], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("|") == 12  # the truth of a 4 x 4 board


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, tmp_path: Path) -> None:
    if command.startswith("vlm-gym play") and "--terminal" not in command:
        pytest.skip("played in a real window by test_play.py, in a real browser by test_play_browser.py")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command.split(),
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        input="q\n",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for written in re.findall(r"-o (\S+)", command):
        assert (tmp_path / written).stat().st_size > 1000


@pytest.mark.parametrize("link", re.findall(r"\]\(([^):]+)\)", README))
def test_the_link_leads_somewhere(link: str) -> None:
    assert (Path(__file__).parents[1] / link).exists()
