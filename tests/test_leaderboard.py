"""Leaderboard files: written by a run, checked alone and by the turns, and what gives a false one away."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recordings import Pupil

from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.leaderboard import check_leaderboard, submit
from vlm_gym.evaluation.suite import Part, Suite, suite
from vlm_gym.rollouts.policy import MODELS
from vlm_gym.storage import read_json, write_json

SUITE = Suite(part=(Part(games=("2048",), perception=("0", "3"), reasoning=("0",), episodes=3),))
COMMAND = Path(sys.executable).with_name("vlm-gym")


class Model(Pupil):
    """The pupil under a model's name, so that nobody can let it play anew."""

    portable = False

    def __init__(self, name):
        self.name = f"pupil:{name}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run with a model, and its file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "pupil", f"{__name__}:Model")
        out = tmp_path_factory.mktemp("run")
        evaluate(Evaluation(suite=SUITE, name="mine", policies=["pupil:one"]), out)
    submit(out, out / "board.json")
    return out


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def change(path, alter, sign=True):
    """Tamper with a file, and sign it anew as its writer would."""
    from vlm_gym.evaluation.leaderboard import _digest

    entry = read_json(path)
    alter(entry)
    if sign:
        entry["digest"] = _digest({name: value for name, value in entry.items() if name != "digest"})
    write_json(path, entry)


def test_a_file_says_what_was_played_by_whom_and_how_well(run):
    entry = read_json(run / "board.json")
    assert entry["suite"]["name"] == "mine"
    assert entry["suite"]["digest"] == SUITE.digest
    assert set(entry["versions"]) == {"vlm_gym", "python", "numpy"}
    assert entry["seeds"] == {"split": "test", "resampling": 0, "decoding": 0}
    assert list(entry["turns"]) == ["random", "greedy", "solver", "pupil:one"]
    assert [row["policy"] for row in entry["policies"]] == list(entry["turns"])


def test_a_true_file_stands_every_check(run):
    alone = check_leaderboard(run / "board.json")
    assert (alone.problems, alone.turns) == ([], 0)
    found = check_leaderboard(run / "board.json", [run])
    assert found.problems == found.replayed == []
    assert found.turns == sum(len((path).read_text().splitlines()) for path in run.rglob("turns.jsonl"))


def test_players_without_eyes_play_anew_where_their_turns_are_not_given(run):
    found = check_leaderboard(run / "board.json", [run / "pupil-one/turns.jsonl"])
    assert found.problems == []
    assert found.replayed == ["random", "greedy", "solver"]


def test_a_changed_file_does_not_fit_its_digest(run):
    def better(entry):
        entry["policies"][3]["overall"]["numbers"]["success"][0] = 0.123

    change(run / "board.json", better, sign=False)
    assert check_leaderboard(run / "board.json").problems == [
        "the digest does not fit: the file is not as it was written"
    ]


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (("overall", "numbers", "success"), "policies pupil:one overall numbers success"),
        (("games", "2048", "numbers", "legal"), "policies pupil:one games 2048 numbers legal"),
        (("overall", "kinds", "misread"), "policies pupil:one overall kinds misread"),
    ],
)
def test_a_number_that_the_turns_do_not_give_is_named(run, place, named):
    def better(entry):
        *path, last = place
        told = entry["policies"][3]
        for name in path:
            told = told[name]
        told[last] = [0.987, 0.9, 1.0] if isinstance(told[last], list) else 77

    change(run / "board.json", better)
    assert check_leaderboard(run / "board.json").problems == []
    problems = check_leaderboard(run / "board.json", [run]).problems
    assert problems
    assert all(problem.startswith(named) for problem in problems)
    assert "in the file" in problems[0]
    assert "by the turns" in problems[0]


def test_numbers_that_are_missing_or_made_up_are_named(run):
    change(run / "board.json", lambda entry: entry["policies"][3]["overall"]["numbers"].pop("normalised"))
    assert "normalised: None in the file" in check_leaderboard(run / "board.json", [run]).problems[0]
    change(run / "board.json", lambda entry: entry["policies"].pop())
    assert check_leaderboard(run / "board.json", [run]).problems


def test_a_turn_that_the_rules_deny_is_named_by_its_line(run):
    path = run / "pupil-one/turns.jsonl"
    lines = path.read_text().splitlines()
    data = json.loads(lines[4])
    lines[4] = json.dumps({**data, "score": data["score"] + 100})
    path.write_text("\n".join(lines) + "\n")
    problems = check_leaderboard(run / "board.json", [run]).problems
    assert "is not the file of pupil:one" in problems[0]
    assert any(f"{path}, line 5: score" in problem for problem in problems)


def test_turns_that_are_missing_are_missed(run):
    (run / "pupil-one/turns.jsonl").unlink()
    assert check_leaderboard(run / "board.json", [run]).problems == ["no turns of pupil:one are given"]


def test_an_episode_that_was_left_out_is_named(run):
    path = run / "pupil-one/turns.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    first = [line for line in lines if json.loads(line)["episode"] == json.loads(lines[0])["episode"]]
    path.write_text("".join(lines[len(first) :]))
    assert any(
        "lacks Episode(game='2048'" in problem
        for problem in check_leaderboard(run / "board.json", [run]).problems
    )


def test_a_suite_that_means_something_else_here_is_named(run):
    def easier(entry):
        entry["suite"]["cells"][0]["knobs"]["target"] = 8

    change(run / "board.json", easier)
    problems = check_leaderboard(run / "board.json").problems
    assert "the digest of the suite does not fit what the suite says" in problems
    assert "2048 p0 r0 is another level in this version of vlm-gym" in problems


def test_a_run_that_is_not_complete_is_not_submitted(run):
    results = read_json(run / "results.json")
    write_json(run / "results.json", {**results, "complete": False, "missing": {"pupil:one": {}}})
    with pytest.raises(ValueError, match="not complete: pupil:one did not play"):
        submit(run, run / "other.json")
    assert not (run / "other.json").exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "no leaderboard file: its format is None"),
        ("[]", "is broken: it holds no object"),
        ('{"format": "vlm-gym', "is broken"),
        ('{"format": "vlm-gym leaderboard 2"}', "its format is 'vlm-gym leaderboard 2'"),
        ('{"format": "vlm-gym leaderboard 1"}', "no leaderboard file of this version"),
        (
            '{"format": "vlm-gym leaderboard 1", "digest": 1, "suite": 3}',
            "no leaderboard file of this version",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, error):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=error):
        check_leaderboard(tmp_path / "x.json")


def test_recordings_must_be_there(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "void.jsonl").write_text("")
    with pytest.raises(ValueError, match="empty: no turns are there"):
        check_leaderboard(run / "board.json", [tmp_path / "empty"])
    with pytest.raises(ValueError, match="holds no turns"):
        check_leaderboard(run / "board.json", [tmp_path / "void.jsonl"])


def test_the_command_submits_and_verifies(tmp_path):
    def vlm_gym(words):
        command = [COMMAND, "eval", *words.split()]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    done = vlm_gym("--games 2048 -r 0 --episodes 2 -o run --workers 0 --submit b.json")
    assert done.returncode == 0, done.stderr
    assert "wrote b.json" in done.stdout
    assert "b.json is as it was written; no turns were given" in vlm_gym("--verify b.json").stdout
    assert "all numbers as they should be" in vlm_gym("--verify b.json --turns run").stdout
    path = tmp_path / "b.json"
    path.write_text(path.read_text().replace("2048", "2049", 1))
    done = vlm_gym("--verify b.json")
    assert done.returncode == 1
    assert "the digest does not fit" in done.stdout
    assert "2049 p0 r0 cannot be played: unknown game '2049'" in done.stdout


def test_a_shipped_suite_passes_under_its_name_and_its_description_alone(tmp_path):
    tiny = suite("quick").with_limits(None, None, None)
    evaluate(
        Evaluation(suite=tiny, name="quick", policies=["constant"], baselines=False, quiet=True), tmp_path
    )
    submit(tmp_path, tmp_path / "board.json")
    assert check_leaderboard(tmp_path / "board.json").problems == []
    change(tmp_path / "board.json", lambda entry: entry["suite"].update(about="The official one"))
    assert "is described as 'The official one'" in "\n".join(
        check_leaderboard(tmp_path / "board.json").problems
    )
