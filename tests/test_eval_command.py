"""What `vlm-gym eval` takes on its command line: names of policies with commas, and where it may write."""

import pytest
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.cli.evaluating import _policies
from vlm_gym.evaluation.claims import _versions
from vlm_gym.evaluation.leaderboard import check_leaderboard


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
    assert check_leaderboard(place).problems == []


VERSIONS = {"vlm_gym": "0.1.0", "python": "3.11.7", "numpy": "2.4.6"}


@pytest.mark.parametrize(
    ("words", "possible"),
    [
        *(
            (words, True)
            for words in ("2.4.6", "2.4", "2.5.0rc1", "2.4.6.post1", "2.4.6+cpu", "2.5.0.dev3+g1a2b")
        ),
        *((words, False) for words in ("2.4.6x", "2.4.6 ", "2.4.6-best", "2", "best", "2.4.6rc")),
    ],
)
def test_a_version_is_spelled_as_versions_are(words, possible):
    assert (list(_versions({**VERSIONS, "numpy": words})) == []) == possible
