"""Reports over all that a pattern such as ``runs/*`` names: strays are left out, and stay alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from recordings import record

from vlm_gym.episode import Episode
from vlm_gym.report.runs import find_runs
from vlm_gym.rollouts.policy import Baseline

EPISODES = [Episode("2048", "level=0,size=96", "0", "test", index) for index in range(2)]


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def runs(tmp_path) -> Path:
    record(tmp_path / "runs" / "me.jsonl", Baseline("random"), EPISODES)
    record(tmp_path / "runs" / "a" / "turns.jsonl", Baseline("greedy"), EPISODES)
    return tmp_path / "runs"


def everything(runs: Path) -> list[Path]:
    return sorted(runs.iterdir())


def test_a_second_report_finds_what_the_first_one_found(runs, caplog):
    first = find_runs(everything(runs))
    after = listing(runs)
    assert after == ["a/turns.jsonl", "a/turns.verdicts.jsonl", "me.jsonl", "me.verdicts.jsonl"]
    second = find_runs(everything(runs))
    assert second.played == first.played
    assert listing(runs) == after
    assert "left out" not in caplog.text, "what we wrote ourselves needs no word"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.md", b"my notes\n"),
        ("log.jsonl", b'{"level": "info", "message": "hello"}\n'),
        ("diary.jsonl", b"dear diary\n"),
        ("list.jsonl", b"[1, 2]\n"),
        ("photo.png", b"\x89PNG\r\n\x1a\n\x00\xff\xfe"),
        ("packed.jsonl.zst", b"not packed at all"),
        ("me.verdicts.jsonl.part", b"left by a kill"),
        ("empty.jsonl", b""),
    ],
)
@pytest.mark.parametrize("inside", [True, False], ids=["in a run", "beside runs"])
def test_a_stray_file_breaks_no_report_and_gets_none_beside_it(runs, name, content, inside):
    clean = find_runs(everything(runs)).played
    before = listing(runs)
    stray = (runs / "a" if inside else runs) / name
    stray.write_bytes(content)
    for _ in range(2):
        assert find_runs(everything(runs)).played == clean
    assert listing(runs) == sorted([*before, str(stray.relative_to(runs))])
    assert stray.read_bytes() == content


def test_a_broken_file_of_ours_is_no_stray(runs):
    path = runs / "a" / "turns.jsonl"
    lines = path.read_text().splitlines()
    for place in (0, 1):
        path.write_text("\n".join([*lines[:place], lines[place][:40], *lines[place + 1 :]]) + "\n")
        with pytest.raises(ValueError, match=rf"a/turns\.jsonl, line {place + 1}: "):
            find_runs(everything(runs))
        assert not (runs / "a" / "turns.verdicts.jsonl.part").exists()


def test_the_command_names_a_stray_in_one_line_where_there_is_nothing_else(tmp_path):
    (tmp_path / "notes.md").write_text("my notes\n")
    command = [sys.executable, "-m", "vlm_gym.cli", "report", "notes.md"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "notes.md" in done.stderr
    assert listing(tmp_path) == ["notes.md"]
