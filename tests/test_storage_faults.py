"""Trials of reliability of what is written: a full disk, kill -9 at random moments.

After each trial the same command ends with the very bytes of a run that nothing has disturbed.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from commands import EVAL, RECIPE, ROLLOUT, answer, rollouts, run, start, turns, until

pytestmark = pytest.mark.faults
slow = pytest.mark.slow

TRIALS = 6
"""Moments at which each command is killed."""


@pytest.fixture
def server(endpoint):
    return endpoint(answer)


@pytest.fixture
def recipe(server, tmp_path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("URL", server.url))
    return path


@pytest.fixture(scope="module")
def rolled(tmp_path_factory) -> dict[str, bytes]:
    """What undisturbed rollouts write."""
    return rollouts(tmp_path_factory.mktemp("rolled"))


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[int], Path]]:
    """A file system of its own, of so many KiB; called again, it has another size."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def resize(size: int) -> Path:
        nonlocal mounted
        how = f"{'remount,' if mounted else ''}size={size}k"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", how, "tmpfs", place], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted = True
        return place

    yield resize
    if mounted:
        subprocess.run(["umount", "--lazy", place], check=True)


def full(told: str, name: str) -> None:
    assert re.search(rf"No space left on device: '\S*{re.escape(name)}", told), told
    assert "Traceback" not in told


@pytest.mark.parametrize(("kind", "room"), [("jsonl", 40), ("jsonl", 92), ("jsonl", 152), ("jsonl.zst", 12)])
def test_rollouts_go_on_once_a_full_disk_has_room(kind, room, rolled, disk):
    path = disk(room) / f"t.{kind}"
    status, told = run(*ROLLOUT, "-o", path)
    assert status == 2
    full(told, path.name)
    assert rolled[kind].startswith(path.read_bytes())
    disk(4096)
    assert run(*ROLLOUT, "-o", path)[0] == 0
    assert path.read_bytes() == rolled[kind]


@slow
@pytest.mark.parametrize("room", [12, 16, 24, 36, 52])
def test_no_paid_reply_is_lost_on_a_full_disk(room, server, disk, tmp_path):
    words = (*EVAL, "--policy", "openai:m", "--base-url", server.url, "--option", "concurrency=1")
    assert run(*words, "-o", tmp_path / "whole")[0] == 0
    asked = len(server.asked)
    out = disk(room) / "run"
    status, told = run(*words, "-o", out)
    assert status in (1, 2), told
    assert "No space left on device" in told
    assert "Traceback" not in told
    disk(4096)
    status, told = run(*words, "-o", out)
    assert status == 0, told
    assert turns(out) == turns(tmp_path / "whole")
    assert len(server.asked) <= 2 * asked + 1  # the reply for which there was no room


@slow
@pytest.mark.parametrize("room", [8, 12])
def test_no_reply_of_a_teacher_is_lost_on_a_full_disk(room, recipe, server, disk, tmp_path):
    pytest.importorskip("datasets", reason="the extra `train` is not installed")
    assert run("data", recipe, "-o", tmp_path / "whole")[0] == 0
    asked = len(server.asked)
    out = disk(room) / "data"
    status, told = run("data", recipe, "-o", out)
    assert status == 2, told
    full(told, "")
    disk(1 << 16)
    status, told = run("data", recipe, "-o", out)
    assert status == 0, told
    assert len(server.asked) <= 2 * asked + 2  # two for which there was no room


def test_a_turn_that_finds_no_room_ends_play_and_leaves_those_before(disk):
    path = disk(8) / "me.jsonl"
    status, told = run("play", "2048", "--terminal", "--record", path, lines="left\nup\nright\ndown\n" * 10)
    assert status == 2
    full(told, "me.jsonl")
    kept = path.read_bytes()
    assert kept.endswith(b"\n")
    disk(64)
    assert run("play", "2048", "--terminal", "--record", path, lines="left\nup\nq\n")[0] == 0
    assert path.read_bytes().startswith(kept)
    assert run("replay", path, "--verify")[0] == 0


def test_a_page_is_replaced_whole_or_stays(rolled, disk, tmp_path):
    recording = tmp_path / "t.jsonl"
    recording.write_bytes(rolled["jsonl"])
    page = disk(4096) / "r.html"
    assert run("report", recording, "-o", page)[0] == 0
    before = page.read_bytes()
    disk(len(before) // 1024 + 40)
    status, told = run("report", recording, "-o", page)
    assert status == 2
    full(told, "r.html")
    assert page.read_bytes() == before
    assert [path.name for path in page.parent.iterdir()] == ["r.html"]


def kill_at_random(dice: Random, longest: float, lock: Path, *words: object) -> bool:
    """Kill a command below `longest` seconds after it has its lock. Return whether it was at work."""
    process = start(*words)
    lock.unlink(missing_ok=True)  # of the process that was killed before
    until(lambda: lock.exists() or process.poll() is not None)
    time.sleep(longest * dice.random())
    at_work = process.poll() is None
    process.kill()
    process.communicate()
    return at_work


def seconds(lock: Path, *words: object) -> float:
    """Run a command to its end. Return how long it had its lock."""
    process = start(*words)
    until(lock.exists, process)
    before = time.monotonic()
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return time.monotonic() - before


@slow
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst"])
def test_a_rollout_killed_again_and_again(kind, rolled, tmp_path):
    path = tmp_path / f"t.{kind}"
    lock = tmp_path / f".t.{kind}.lock"
    longest = seconds(tmp_path / f".whole.{kind}.lock", *ROLLOUT, "-o", tmp_path / f"whole.{kind}")
    dice = Random(18)
    kills = 0
    for _ in range(TRIALS):
        kills += kill_at_random(dice, longest / 3, lock, *ROLLOUT, "-o", path)
        if path.exists() and dice.random() < 0.5:  # what a kill inside of a write leaves
            os.truncate(path, max(0, path.stat().st_size - dice.randrange(200)))
    assert kills >= TRIALS // 2
    assert run(*ROLLOUT, "-o", path)[0] == 0
    assert path.read_bytes() == rolled[kind]
    assert {each.name for each in tmp_path.iterdir()} == {path.name, f"whole.{kind}"}


@slow
def test_an_evaluation_killed_again_and_again(server, tmp_path):
    words = (*EVAL, "--policy", "openai:m", "--base-url", server.url, "--option", "concurrency=2")
    longest = seconds(tmp_path / "whole/.lock", *words, "-o", tmp_path / "whole")
    asked = len(server.asked)
    dice = Random(19)
    out = tmp_path / "run"
    for _ in range(TRIALS):
        kill_at_random(dice, longest, out / ".lock", *words, "-o", out)
        journal = out / "openai-m/replies.jsonl"
        if journal.exists() and dice.random() < 0.3:
            journal.write_bytes(journal.read_bytes()[:-7])
    assert run(*words, "-o", out)[0] == 0
    assert turns(out) == turns(tmp_path / "whole")
    results = [json.loads((each / "results.json").read_text()) for each in (out, tmp_path / "whole")]
    assert results[0]["complete"]
    assert (
        results[0]["policies"][0]["overall"]["episodes"] == results[1]["policies"][0]["overall"]["episodes"]
    )
    assert len(server.asked) <= 2 * asked + 3 * TRIALS  # two on their way, and one cut off, at each kill
    assert not [path for path in out.rglob("*") if path.name.endswith((".lock", ".part"))]


@slow
def test_data_killed_again_and_again(recipe, server, tmp_path):
    parquet = pytest.importorskip(
        "vlm_gym.trainers.data.parquet", reason="the extra `train` is not installed"
    )
    longest = seconds(tmp_path / "whole/.lock", "data", recipe, "-o", tmp_path / "whole")
    asked = len(server.asked)
    dice = Random(20)
    for _ in range(TRIALS):
        kill_at_random(dice, longest, tmp_path / "data/.lock", "data", recipe, "-o", tmp_path / "data")
    assert run("data", recipe, "-o", tmp_path / "data")[0] == 0
    rows = [list(parquet.open_rows(tmp_path / name / "rows.parquet")) for name in ("data", "whole")]
    assert [row["completion"] for row in rows[0]] == [row["completion"] for row in rows[1]]
    assert (tmp_path / "data/rows.parquet").read_bytes() == (tmp_path / "whole/rows.parquet").read_bytes()
    assert len(server.asked) <= 2 * asked + 2 * TRIALS
