"""Every command and every line of Python in the README works as it stands.

Its figures are those of docs/results.md.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from endpoints import said

from vlm_gym.registry import names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
COMMANDS = [
    line.split("  #")[0].removeprefix("$ ").strip()
    for kind, block in BLOCKS
    if kind == "console"
    for line in block.splitlines()
]
LONG = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
"""Commands that take minutes or another machine: run below with smaller numbers, or named in `ELSEWHERE`."""
PYTHON = "\n".join(block for kind, block in BLOCKS if kind == "python")
ENDPOINT = "vlm-gym eval --policy openai:NAME --base-url http://localhost:8000/v1 --suite quick -o runs/name"
RUNS = [
    "vlm-gym train configs/quickstart.toml",
    "vlm-gym train configs/quickstart.toml --set grpo.steps=600 --resume",
    "vlm-gym eval --policy hf:runs/quickstart/grpo/model --suite quick -o runs/mine",
]
ELSEWHERE = {
    "make quickstart": (".ci/run", "make quickstart"),
    "make test": (".ci/run", "make test\n"),
    'pip install -e ".[train,api,browser]"': ("Makefile", "--editable '.[api,browser,ray,train,video]'"),
    "vlm-gym train configs/g1_qwen2_5_vl_7b.toml": (
        "README.md",
        "$ vlm-gym plan configs/g1_qwen2_5_vl_7b.toml",
    ),
}
"""Commands that need gigabytes, with the file that runs what stands for them.

CI installs by `make`, and `plan` reads the whole recipe without loading a weight.
"""
SMALLER = " --games 2048 --reasoning 0 --episodes 1 --turn-limit 2 "
SMALL = "data.rows=64 cold_start.steps=4 cold_start.save=4 grpo.save=2 evaluation.episodes=1"


def run(command: str, folder: Path, seconds: int = 300, **variables: str) -> None:
    """Run a command in a folder with the recipes. Check that it works and writes its file."""
    if not (folder / "configs").exists():
        (folder / "configs").symlink_to(ROOT / "configs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command.split(),
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        input="q\n",
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for written in re.findall(r"-o (\S+)", command):
        assert (folder / written).stat().st_size > 1000


def test_there_is_something_to_try() -> None:
    assert len(COMMANDS) > 8
    assert "gym.make" in PYTHON


def test_the_python_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PYTHON], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("|") == 12  # the truth of a 4 x 4 board


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a reader types the commands in, one after another."""
    return tmp_path_factory.mktemp("reader")


@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, folder: Path) -> None:
    if command.startswith("vlm-gym play") and "--terminal" not in command:
        pytest.skip("played in a real window by test_play.py, in a real browser by test_play_browser.py")
    if command.startswith("vlm-gym plan"):
        pytest.importorskip("torch", reason="the extra `train` is not installed")
    if "turns.jsonl" in command and "rollout" not in command and not (folder / "turns.jsonl").exists():
        run(next(each for each in COMMANDS if "rollout" in each), folder)
    run(command, folder)


def test_a_long_command_is_run_in_some_way() -> None:
    assert set(LONG) == {*RUNS, *ELSEWHERE, ENDPOINT}
    for file, words in ELSEWHERE.values():
        assert words in (ROOT / file).read_text()


def test_a_model_behind_an_endpoint_is_evaluated(endpoint, tmp_path: Path) -> None:
    server = endpoint(lambda body: said("<answer>left</answer>"))
    command = ENDPOINT.replace("http://localhost:8000/v1", server.url).replace(" --suite quick ", SMALLER)
    run(command, tmp_path, OPENAI_API_KEY="none")
    assert len(server.asked) == 2
    results = json.loads((tmp_path / "runs/name/results.json").read_text())
    assert "openai:NAME" in [each["policy"] for each in results["policies"]]


@pytest.mark.slow
@pytest.mark.long
def test_the_training_commands_run_with_smaller_numbers(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    train, resume, evaluate = RUNS
    changes = "".join(f" --set {change}" for change in SMALL.split())
    run(f"{train}{changes} --set grpo.steps=2", tmp_path, 900)
    run(resume.replace("600", "4") + changes, tmp_path, 900)
    run(evaluate.replace(" --suite quick ", SMALLER), tmp_path, 900)
    assert (tmp_path / "runs/quickstart/report.html").is_file()


def test_the_figures_are_those_of_the_results() -> None:
    results = (ROOT / "docs/results.md").read_text()
    figures = re.findall(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", README)
    assert len(figures) == 14
    assert [figure for figure in figures if figure not in results] == []


def test_every_game_is_in_the_table() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(games/", README, re.M)
    assert sorted(listed) == sorted(names())
    assert README.count(f"\n{len(listed)} games that") == 1


@pytest.mark.parametrize("link", re.findall(r"\]\(([^):]+)\)", README))
def test_the_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
