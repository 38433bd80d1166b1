"""Commands in processes of their own, for the trials of reliability, and what undisturbed ones write."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from endpoints import said

from vlm_gym.evaluation.run_folder import folder

COMMAND = Path(sys.executable).with_name("vlm-gym")
ROLLOUT = (
    "rollout",
    "--games",
    "2048,swap",
    "--episodes",
    "12",
    "-r",
    "level=1,turns=20",
    "--parallel-episodes",
    "2",
)
EVAL = (
    "eval",
    "--no-baselines",
    "--games",
    "2048",
    "-p",
    "size=64",
    "-r",
    "level=0,turns=8",
    "--episodes",
    "6",
)
RECIPE = """
[[task]]
game = "2048"
reasoning = "0"
perception = "level=0,size=64"
moves = 6
[data]
rows = 24
teacher = "openai:m"
good = false
[data.options]
base_url = "URL"
concurrency = 2
[cold_start]
steps = 1
"""


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
    }
    return subprocess.Popen([COMMAND, *map(str, words)], text=True, **{**pipes, **options})


def run(*words: object, lines: str = "") -> tuple[int, str]:
    """Run a command to its end. Return its status and what it has written on standard error, unwrapped."""
    process = start(*words)
    _, told = process.communicate(lines, timeout=300)
    return process.returncode, " ".join(told.split())


def until(true: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def answer(body: dict[str, Any]) -> tuple[int, Any]:
    """Reply by what was asked, the same to the same."""
    time.sleep(0.005)
    move = ("left", "up", "right", "down", "sideways")[
        blake2b(json.dumps(body["messages"]).encode()).digest()[0] % 5
    ]
    return said(f"<think>so</think><answer>{move}</answer>")


def untimed(path: Path) -> str:
    return re.sub(r'"seconds":[\d.e-]+', '"seconds":0', path.read_text())


def turns(out: Path) -> str:
    return untimed(folder(out, "openai:m") / "turns.jsonl")


def held(lock: Path, process: subprocess.Popen[str]) -> bool:
    """Return whether a process has taken a lock: the file is there before, and after a holder was killed."""
    return lock.exists() and f'"pid": {process.pid},' in lock.read_text()


def rollouts(place: Path) -> dict[str, bytes]:
    """Return what undisturbed rollouts write, by kind of file."""
    found = {}
    for kind in ("jsonl", "jsonl.zst"):
        assert run(*ROLLOUT, "-o", place / f"t.{kind}")[0] == 0
        found[kind] = (place / f"t.{kind}").read_bytes()
    return found
