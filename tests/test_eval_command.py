"""What `vlm-gym eval` takes on its command line: names of policies with commas, and where it may write."""

import pytest
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.cli.evaluating import _policies
from vlm_gym.evaluation.leaderboard import check


@pytest.mark.parametrize(
    ("words", "policies"),
    [
        ("random,greedy", ["random", "greedy"]),
        ("hf:runs/a,b/model", ["hf:runs/a,b/model"]),
        ("hf:runs/a,b/model,solver,openai:m", ["hf:runs/a,b/model", "solver", "openai:m"]),
        ("hf:a,hf:b", ["hf:a", "hf:b"]),
        ("random,rndom", ["random", "rndom"]),
    ],
)
def test_a_comma_in_the_name_of_a_model_is_a_part_of_it(words, policies):
    assert _policies(words) == policies


EVAL = [
    "eval",
    "--games",
    "2048",
    "-r",
    "0",
    "--episodes",
    "1",
    "--turn-limit",
    "1",
    "--policy",
    "random",
    "--workers",
    "0",
]


@pytest.mark.parametrize("text", ['{"a": 1}', "my notes", "[1]", '{"format": "mine"}'])
def test_a_submission_replaces_no_file_of_something_else(tmp_path, text):
    place = tmp_path / "mine.json"
    place.write_text(text)
    done = CliRunner().invoke(app, [*EVAL, "-o", str(tmp_path / "run"), "--submit", str(place)])
    assert "mine.json holds something else than a leaderboard file" in str(done.exception)
    assert place.read_text() == text
    assert not (tmp_path / "run").exists()


def test_a_submission_replaces_an_earlier_one(tmp_path):
    place = tmp_path / "board.json"
    for _ in range(2):
        done = CliRunner().invoke(app, [*EVAL, "-o", str(tmp_path / "run"), "--submit", str(place)])
        assert done.exit_code == 0, done.output
    assert check(place).problems == []
