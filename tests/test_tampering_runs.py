"""Runs, submissions, verdicts and suites that were tampered with: named in one line, or made again."""

import json
import random
from pathlib import Path

import pytest
from recordings import Pupil, record
from tampering import EPISODES, mutate, refused_or

from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.judge import beside, verdicts
from vlm_gym.evaluation.leaderboard import _digest, check_leaderboard, submit
from vlm_gym.evaluation.suite import Part, Suite, suite
from vlm_gym.report import report

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_that_were_changed_are_made_again_and_the_log_says_where(tmp_path, caplog, seed):
    dice = random.Random(seed)
    path = record(tmp_path / "t.jsonl", Pupil(), EPISODES[:2])
    honest = list(verdicts(path))
    kept = beside(path)
    good = kept.read_text()
    for _ in range(30):
        rows = good.splitlines()
        at = dice.randrange(1, len(rows))
        rows[at] = dice.choice(
            [mutate(rows[at], dice), rows[at].replace("misplanned", "fine"), "", rows[at] * 2]
        )
        rows = rows[: dice.randrange(at, len(rows) + 1)] if dice.random() < 0.3 else rows
        changed = "\n".join(rows) + "\n"
        kept.write_text(changed, errors="surrogatepass")
        caplog.clear()
        assert list(verdicts(path)) == honest
        assert changed == good or f"{kept}, line " in caplog.text or kept.read_text() == good
    assert kept.read_text() == good


@pytest.fixture(scope="module")
def submitted(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    part = Part(games=("2048",), perception=("level=0,size=128",), reasoning=("0",), episodes=2, turns=3)
    evaluate(Evaluation(suite=Suite(part=(part,)), name="mine", policies=["constant"], quiet=True), out)
    submit(out, out / "board.json")
    return out


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_submission_is_refused_in_one_line_or_its_problem_is_named(submitted, tmp_path, seed):
    dice = random.Random(seed)
    text = (submitted / "board.json").read_text()
    honest = json.loads(text)
    for trial in range(25):
        changed = mutate(text, dice)
        path = tmp_path / f"{trial}.json"
        try:
            data = json.loads(changed)
            if isinstance(data, dict):
                data["digest"] = _digest({name: value for name, value in data.items() if name != "digest"})
                changed = json.dumps(data)
        except (ValueError, RecursionError):
            data = None
        path.write_text(changed, errors="surrogatepass")
        found = refused_or(lambda path=path: check_leaderboard(path), path, line=False)
        same = data is not None and data == honest and json.dumps(data) == json.dumps(honest)
        allowed = data is not None and {**data, "versions": 0, "digest": 0, "suite": 0} == {
            **honest,
            "versions": 0,
            "digest": 0,
            "suite": 0,
        }
        assert found is None or found.problems or same or allowed, changed[:3000]


@pytest.mark.parametrize("name", ["run.json", "results.json"])
@pytest.mark.parametrize("seed", range(2))
def test_a_run_whose_files_were_changed_is_submitted_so_that_it_verifies_or_not_at_all(
    submitted, tmp_path, name, seed
):
    dice = random.Random(seed)
    text = (submitted / name).read_text()
    try:
        for trial in range(12):
            (submitted / name).write_text(mutate(text, dice), errors="surrogatepass")
            out = tmp_path / f"{trial}.json"
            refused_or(lambda out=out: submit(submitted, out), submitted / name, line=False)
            if out.exists():
                assert check_leaderboard(out, [submitted]).problems == []
            refused_or(lambda: report([submitted]), submitted / name, line=False)
    finally:
        (submitted / name).write_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "part = 3",
        "[[part]]\ngames = 3",
        "[[part]]\nepisodes = true",
        "[[part]]\nepisodes = 9999999999",
        "[[part]]\ngames = [['2048']]",
        "part = " + "[" * 5000,
        "history = nan\n[[part]]",
        "[[part]]\n[[part]]",
        "\x00",
        "history = " + "9" * 5000,
    ],
    ids=lambda text: text[:20],
)
def test_a_suite_that_is_broken_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.toml: ") as error:
        suite(str(path))
    assert "\n" not in str(error.value)
