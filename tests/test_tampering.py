"""Files that were tampered with or cut: a one-line error that names the file, or the numbers as they were."""

import json
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from recordings import Pupil, record
from tampering import EPISODES, HUGE, mutate, refused_or, written
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.recordings.record import from_line, read
from vlm_gym.replays.film import captioned_frames
from vlm_gym.replays.replay import plays, verify
from vlm_gym.report import replay, report
from vlm_gym.report.runs import find_runs
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage.compression import zstd
from vlm_gym.strict import parse

pytestmark = pytest.mark.faults

HONEST = Path(__file__).parent / "golden" / "honest"


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> list[str]:
    path = record(tmp_path_factory.mktemp("turns") / "t.jsonl", Pupil(), EPISODES)
    return path.read_text().splitlines()


MORE = [pytest.param(seed, marks=[pytest.mark.slow, pytest.mark.faults]) for seed in range(2, 6)]


@pytest.mark.parametrize("seed", [0, 1, *MORE])
def test_a_mutated_line_is_refused_by_file_and_line_or_still_plays_as_it_says(lines, tmp_path, seed):
    dice = random.Random(seed)
    for trial in range(60):
        at = dice.randrange(len(lines))
        path = written(tmp_path / f"{trial}.jsonl", [*lines[:at], mutate(lines[at], dice), *lines[at + 1 :]])
        found = refused_or(lambda path=path: plays(path), path)
        proof = verify(path)
        assert all("\n" not in str(problem) for problem in proof.problems)
        if found is None:
            assert proof.problems
        elif not proof.problems:  # then nothing has changed but what no rule can prove
            told = list(map(from_line, lines))
            mine = list(read(path))
            for one, other in zip(told, mine, strict=True):
                assert (one.state, one.action, one.score, one.success) == (
                    other.state,
                    other.action,
                    other.score,
                    other.success,
                )


@pytest.mark.parametrize("seed", range(2))
def test_pages_and_films_of_mutated_recordings_are_made_or_refused_in_one_line(lines, tmp_path, seed):
    dice = random.Random(100 + seed)
    few = lines[:4]
    for trial in range(25):
        at = dice.randrange(len(few))
        path = written(tmp_path / f"{trial}.jsonl", [*few[:at], mutate(few[at], dice), *few[at + 1 :]])
        found = refused_or(lambda path=path: plays(path), path)
        if found:
            refused_or(lambda found=found: replay("page", found), path)
            refused_or(lambda found=found: [list(captioned_frames(play)) for play in found], path)
            refused_or(lambda path=path: report([path]), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines[:3], lines[1], *lines[3:]],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines[:2], "", *lines[2:]],
        lambda lines: [*lines[:2], lines[2][: len(lines[2]) // 2] + lines[3], *lines[4:]],
    ],
    ids=["first left out", "left out", "swapped", "taken back", "twice", "empty", "glued"],
)
def test_lines_in_another_order_are_refused_and_named(lines, tmp_path, change):
    path = written(tmp_path / "t.jsonl", change(lines))
    assert verify(path).problems
    assert refused_or(lambda: plays(path), path) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": True}, "version is True"),
        ({"version": 1.0}, "version is 1.0"),
        ({"terminated": 0}, "terminated is 0, not true or false"),
        ({"success": None}, "success is None"),
        ({"score": False}, "score is False"),
        ({"score": HUGE}, "score is an integer of more than 80 digits"),
        ({"number": 10**9}, "number is 1000000000, not a whole number from 0 to"),
        ({"number": False}, "number is False"),
        ({"policy": "a\nb"}, "policy is"),
        ({"policy": "\x1b[31mred"}, "policy is"),
        ({"rewards": {"game": 0.5}}, "rewards has no 'format'"),
        ({"rewards": {"game": True, "format": 1, "perception": 1}}, "rewards.game is True"),
        ({"usage": {"tokens": -5}}, "usage.tokens is -5"),
        ({"usage": []}, "usage is a list of 0 entries"),
        ({"picture": "0" * 31}, "picture is"),
        ({"episode": {"game": "2048"}}, "episode has no 'perception'"),
        ({"bonus": 1}, "unknown key 'bonus'"),
        (
            {
                "episode": {
                    "game": "2048",
                    "perception": "x=" + "y" * 900,
                    "reasoning": "0",
                    "split": "test",
                    "index": 0,
                }
            },
            "unknown perception knob",
        ),
        ({"state": {}}, "a state of 2048 has no 'knobs'"),
    ],
)
def test_a_value_of_another_type_or_size_is_named(lines, tmp_path, change, says):
    line = next(line for line in lines if json.loads(line)["episode"]["game"] == "2048")
    path = written(tmp_path / "t.jsonl", [json.dumps({**json.loads(line), **change})])
    with pytest.raises(ValueError, match="line 1: ") as error:
        plays(path)
    assert says in str(error.value)
    assert [problem.line for problem in verify(path).problems] == [1]
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, {}) for name in ("game", "perception", "reasoning", "split", "index")),
        ("perception", []),
        ("perception", "9"),
        ("reasoning", "level=0,size=99"),
        ("split", "mine"),
        ("index", -1),
        ("game", "?"),
    ],
)
def test_an_episode_that_there_is_not_is_named(lines, tmp_path, field, value):
    data = json.loads(lines[0])
    data["episode"][field] = value
    path = written(tmp_path / "t.jsonl", [json.dumps(data)])
    assert refused_or(lambda: plays(path), path) is None
    done = CliRunner().invoke(app, ["report", str(path), "-o", str(tmp_path / "r.html")])
    assert isinstance(done.exception, ValueError)
    assert "t.jsonl, line 1" in str(done.exception)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.jsonl"], "nothing is left beside the file"


@pytest.mark.parametrize("text", ["", "\n", "{}\n", "null\n", "[]\n", "\x00" * 100, "\ufeff"])
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst"])
def test_a_file_without_turns_does_not_pass(tmp_path, text, ending):
    path = tmp_path / f"t{ending}"
    path.write_bytes(zstd.compress(text.encode()) if ending.endswith("zst") and text else text.encode())
    assert verify(path).problems
    assert CliRunner().invoke(app, ["replay", str(path), "--verify"]).exit_code == 1


def test_nesting_and_numbers_without_end_are_refused():
    for text in (
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 100_000,
        "1e999999999999",
        '{"a":NaN}',
        '{"a":1,"a":2}',
    ):
        try:
            found = parse(text)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 - one of them is a number, of which float makes infinity
        else:
            assert found == float("inf")


BOMB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
from pathlib import Path
from vlm_gym.replays.replay import plays, verify
from vlm_gym.recordings.record import read
path = Path(sys.argv[1])
for act in (lambda: plays(path), lambda: sum(1 for _ in read(path))):
    try:
        act()
    except ValueError as error:
        print(error)
print(len(verify(path).problems))
"""


def in_little_memory(path: Path) -> str:
    """Read a file in a process that may have 1.5 GB of addresses, imports and threads included."""
    code = BOMB.replace("MOST", str(1500 << 20))
    command = [sys.executable, "-c", code, str(path)]
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_small_packed_file_cannot_fill_the_memory(lines, tmp_path):
    zeros = zstd.compress(bytes(1 << 30))
    for name, data in {
        "one": zeros,
        "many": zeros * 3,
        "turns": zstd.compress((lines[0] + "\n").encode() * 300_000),
    }.items():
        path = tmp_path / f"{name}.jsonl.zst"
        path.write_bytes(data)
        assert path.stat().st_size < 1 << 20
        told = in_little_memory(path)
        assert f"{path}: it unpacks to more than 1000 times its size" in told


def test_a_line_without_end_and_a_number_of_turns_that_nobody_plays_fill_no_memory(lines, tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"version":1,"reply":"')
        file.truncate(1 << 31)
    assert "a line of more than 8 MiB" in in_little_memory(path)
    data = json.loads(lines[0])
    many = []
    for index in range(500):  # each would ask for a list as long as its number
        data["number"] = data["state"]["knobs"]["turns"] - 1
        data["episode"]["index"] = index
        many.append(json.dumps(data))
    path = written(tmp_path / "numbers.jsonl", many)
    assert "is missing" in in_little_memory(path)


def test_peak_memory_is_measured_where_it_is_said_to_be_bounded():
    """The limit of the processes above is one that this system holds to."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({1500 << 20},) * 2); bytearray(2 << 30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "MemoryError" in done.stderr
    assert resource.RLIMIT_AS


def test_a_policy_other_than_a_person_takes_nothing_back(tmp_path):
    turns = list(rollout(EPISODES[:1], Baseline("random")))
    path = record(tmp_path / "t.jsonl", Baseline("random"), EPISODES[:1])
    assert len(turns) >= 3
    rows = path.read_text().splitlines()
    written(path, [*rows[:2], rows[1], *rows[2:]])
    assert [(each.line, each.field) for each in verify(path).problems] == [(3, "number")]
    with pytest.raises(ValueError, match=r"line 3: turn 1 .* only a person can take"):
        plays(path)


def test_a_deal_that_was_played_twice_counts_as_it_went_first(tmp_path):
    """A report takes no better second try for the first one."""
    first = record(tmp_path / "t.jsonl", Baseline("random"), EPISODES[:1]).read_text().splitlines()
    better = record(tmp_path / "b.jsonl", Baseline("solver"), EPISODES[:1]).read_text().splitlines()
    renamed = [line.replace('"policy":"solver"', '"policy":"random"') for line in better]
    path = written(tmp_path / "both.jsonl", [*first, *renamed])
    (counts,) = find_runs([path]).played["random"].values()
    assert counts["turns"] == len(first)


def test_honest_files_of_earlier_versions_open_and_hold():
    for name, undone in (("person.jsonl", 2), ("packed.jsonl.zst", 0)):
        path = HONEST / name
        assert verify(path).problems == []
        assert sum(play.undone for play in plays(path)) == undone
