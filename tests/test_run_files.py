"""The file that says what an evaluation was asked for: changed by hand, it is an error of one line."""

import json
import shutil

import pytest

from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.suite import Part, Suite

SUITE = Suite(
    part=(Part(games=("2048",), perception=("level=0,size=96",), reasoning=("0",), episodes=1, turns=2),)
)
ASKED = Evaluation(suite=SUITE, policies=["greedy"], baselines=False, quiet=True)
OTHER = Evaluation(suite=SUITE, policies=["constant"], baselines=False, quiet=True)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    evaluate(OTHER, out)
    evaluate(ASKED, out)
    return out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("commands", value) for value in (None, 0, "x", {}, [[]], [{}], [3], ["a", None])),
        *(("policies", value) for value in (None, 0, "x", [], [[]], {"greedy": 3}, {"greedy": {"a": 1}})),
        *(("policies", {"greedy": {}, "constant": value}) for value in (None, 3, "x", [], {"decoding": 3})),
        *(("suite", value) for value in (None, 0, "x", [], {}, {"cells": 3})),
        *(("seeds", value) for value in (None, [], {"split": True})),
        *(("version", value) for value in (None, 2, "1", [])),
    ],
)
def test_a_run_that_was_changed_is_refused_in_one_line(played, tmp_path, name, value):
    out = shutil.copytree(played, tmp_path / "run")
    run = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**run, name: value}))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=rf"^[^\n]*{tmp_path.name}[^\n]*$"):
        evaluate(ASKED, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_run_that_was_not_changed_goes_on(played, tmp_path):
    out = shutil.copytree(played, tmp_path / "run")
    assert evaluate(ASKED, out)["complete"]
