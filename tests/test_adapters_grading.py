"""Exported rows and back: replies graded by their row, by the files of EasyR1 and LLaMA-Factory."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets")

import pyarrow.parquet as pq
from vlm_gym.trainers.data import exports, parquet
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Task

import vlm_gym.adapters.grading
from vlm_gym.adapters.grading import compute_score, grade
from vlm_gym.adapters.play import TERMS, begin
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.storage import dumps

WEIGHTS = {"game": 1.0, "format": 0.1, "perception": 0.5, "thought": 0.25}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    tasks = (
        Task(game="2048", reasoning="1", perception="level=0,size=64", moves=6),
        Task(game="shisen_sho", reasoning="1", perception="level=4,size=96", moves=3),
    )
    return parquet.make_rows(
        Recipe(task=tasks, data=Data(rows=6), cold_start=ColdStart()), tmp_path_factory.mktemp("data")
    )


def load_as_easyr1():
    """Load the file as EasyR1 does: by its path, under a name of its own."""
    spec = importlib.util.spec_from_file_location("custom_reward_fn", vlm_gym.adapters.grading.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_easyr1_grades_exported_rows_by_the_file(made):
    module = load_as_easyr1()
    assert module.REWARD_TYPE == "batch"
    rows = pq.read_table(exports.export(made, "easyr1") / "rows.parquet").to_pylist()
    replies = [row["completion"][0]["content"][0]["text"] for row in exports.read_rows(made)]
    for row, reply in zip(rows, replies, strict=True):
        position = json.loads(row["position"])
        game = find(position["game"])
        state = to_state(game, position["state"])
        asked = [
            {"response": text, "response_length": 9, "ground_truth": row["position"]}
            for text in (reply, f"<answer>{row['answer']}</answer>", "no", "")
        ]
        taught, bare, *lost = module.compute_score(asked, **WEIGHTS)
        assert taught["game"] == bare["game"] == game.step(state, row["answer"]).reward
        assert taught["format"] == taught["perception"] == taught["legal"] == 1.0
        assert taught["overall"] == sum(weight * taught[name] for name, weight in WEIGHTS.items())
        assert (bare["format"], bare["perception"]) == (0.0, 0.0)
        for each in lost:
            assert (each["game"], each["legal"]) == (game.illegal(state.knobs), 0.0)
        assert module.compute_score(asked)[1]["overall"] == bare["game"], (
            "the game alone, unless told otherwise"
        )


def test_grades_are_those_of_an_episode_turn_by_turn():
    session = begin({"game": "swap", "reasoning": 1, "index": 2, "weights": WEIGHTS})
    replies = ["<perception>1 | 2</perception><think>so</think><answer>(1,1) (1,2)</answer>", "", "<answer>x"]
    for reply in replies:
        position = dumps({"game": "swap", "state": session.run.state})
        answered = session.answer(reply)
        graded = grade(position, reply)
        assert {name: graded[name] for name in TERMS} == answered.terms
        (scored,) = compute_score([{"response": reply, "ground_truth": position}], **WEIGHTS)
        assert scored["overall"] == answered.reward


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ("left", "not JSON"),
        ("[]", "not an object"),
        ('{"game": "2048"}', "has no 'state'"),
        ('{"game": "2049", "state": {}}', "did you mean '2048'"),
        ('{"game": "2048", "state": {"seed": 1}}', "a state of 2048 has no"),
        (None, "not text"),
        (5, "not text"),
    ],
)
def test_what_is_no_position_is_one_line(position, words):
    with pytest.raises(ValueError, match=words) as caught:
        grade(position, "<answer>left</answer>")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reply", [None, 3, b"<answer>left</answer>", ["<answer>left</answer>"], {}])
def test_a_reply_that_is_no_text_is_a_turn_lost_and_the_batch_goes_on(reply):
    state = begin({"game": "2048"}).run.state
    position = dumps({"game": "2048", "state": state})
    rows = [{"ground_truth": position, "response": said} for said in (reply, "", "<answer>left</answer>")]
    lost, empty, played = compute_score(rows)
    assert lost == empty
    assert (lost["legal"], played["legal"]) == (0.0, 1.0)


@pytest.mark.parametrize("missing", ["ground_truth", "response"])
def test_a_row_without_a_position_or_a_reply_is_one_line(missing):
    row = {"ground_truth": "{}", "response": "<answer>left</answer>"}
    del row[missing]
    with pytest.raises(ValueError, match=f"the row has no '{missing}'") as caught:
        compute_score([row])
    assert "\n" not in str(caught.value)


def test_predictions_of_llamafactory_are_graded_by_their_rows(made, tmp_path):
    entries = json.loads((exports.export(made, "llamafactory") / "rows.json").read_text())
    predictions = tmp_path / "generated_predictions.jsonl"
    lines = [{"predict": entry["messages"][1]["content"], "prompt": "", "label": ""} for entry in entries]
    lines[1]["predict"] = None
    predictions.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        script = Path(__file__).parents[1] / "examples" / "grade_predictions.py"
        command = [sys.executable, str(script), str(made), str(predictions), *options]
        return subprocess.run(command, capture_output=True, text=True)

    told = dict(line.split() for line in run().stdout.splitlines())
    assert told["legal"] == told["perception"] == "0.833"
    told = dict(line.split() for line in run("--steps", "2").stdout.splitlines())
    assert told["legal"] == "0.500"
    predictions.write_text("".join(f"{json.dumps(line)}\n" for line in lines[:-1]))
    assert "5 replies do not fit" in run().stderr


def test_the_module_tells_where_its_file_is():
    done = subprocess.run([sys.executable, "-m", "vlm_gym.adapters.grading"], capture_output=True, text=True)
    assert Path(done.stdout.strip()).samefile(vlm_gym.adapters.grading.__file__)
