"""Options of models on the command line: their names, values and ranges, and the flags that they were."""

import pytest
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.cli.options import MOVED, RENAMED, parse_options
from vlm_gym.evaluation.suite import Decoding
from vlm_gym.rollouts.policy import check_options, options_of

EVAL = ("eval", "--policy", "openai:m", "-o", "nowhere")
ROLLOUT = ("rollout", "--games", "2048", "--policy", "openai:m", "-o", "nowhere.jsonl")


def error(*words: str) -> str:
    """Return the error that a command ends with."""
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ValueError), done.output
    return str(done.exception)


@pytest.mark.parametrize("command", [EVAL, ROLLOUT])
def test_an_unknown_option_is_named_with_the_nearest_and_all_there_are(command):
    words = error(*command, "--option", "concurency=3")
    assert "(did you mean 'concurrency'?); options: base_url, " in words
    assert all(name in words for name in ("per_minute", "time_limit", "retries", "dollars_in", "dollars_out"))


@pytest.mark.parametrize("command", [EVAL, ROLLOUT])
@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("concurrency=0", "concurrency takes a whole number of 1 or more"),
        ("concurrency=many", "concurrency='many' is not possible"),
        ("per_minute=-1", "per_minute takes a number of 0 or more"),
        ("retries=1.5", "retries takes a whole number of 0 or more"),
        ("time_limit", "--option time_limit is not possible; write a name and a value"),
        ("=3", "--option =3 is not possible; write a name and a value"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_refused_before_anybody_plays(command, option, problem):
    assert problem in error(*command, "--option", option)


@pytest.mark.parametrize("command", [EVAL, ROLLOUT])
@pytest.mark.parametrize("flag", MOVED)
def test_a_flag_of_an_earlier_version_ends_in_one_line_with_the_new_form(command, flag):
    for words in ([f"--{flag}", "3"], [f"--{flag}=3"]):
        told = error(*command, *words)
        assert f"write --option {flag.replace('-', '_')}" in told
        assert "\n" not in told


@pytest.mark.parametrize("form", [["--lanes", "2"], ["--lanes=2"]])
def test_a_renamed_flag_is_accepted_with_one_line_that_names_the_new_one(tmp_path, form):
    command = ["rollout", "--games", "2048", "--episodes", "2", "-r", "level=0,turns=3", "-o"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "turns.jsonl"), *form])
    assert done.exit_code == 0, done.output
    assert "--lanes is called --parallel-episodes now\n" in done.stderr
    assert (tmp_path / "turns.jsonl").exists()


@pytest.mark.parametrize("command", [EVAL, ROLLOUT])
def test_the_help_names_no_renamed_flag(command):
    text = CliRunner().invoke(app, [command[0], "--help"], env={"COLUMNS": "200"}).output
    assert [name for name in RENAMED if name in text] == []
    assert "--parallel-episodes" in text


def test_what_the_suite_sets_is_no_option_of_an_evaluation():
    assert "max_tokens is set by the suite" in error(*EVAL, "--option", "max_tokens=5")


def test_a_dot_in_a_name_makes_a_table_and_values_are_toml_or_plain_words():
    words = ["engine.max_model_len=8192", "engine.dtype=half", "concurrency=2", "base_url=http://me:8/v1"]
    assert parse_options(words, "--option", "") == {
        "engine": {"max_model_len": 8192, "dtype": "half"},
        "concurrency": 2,
        "base_url": "http://me:8/v1",
    }


def test_a_name_cannot_be_a_value_and_a_table():
    with pytest.raises(ValueError, match="engine is 3 already"):
        parse_options(["engine=3", "engine.seed=1"], "--option", "")


def test_options_are_checked_against_all_policies_that_play():
    check_options(["solver", "openai:m"], {"concurrency": 3})
    with pytest.raises(ValueError, match="they take none"):
        check_options(["solver"], {"concurrency": 3})


@pytest.mark.parametrize("command", ["eval", "rollout"])
def test_the_help_names_every_option_of_an_endpoint(command):
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    names = set(options_of("openai:m")) - {*vars(Decoding()), "base_url"}
    assert len(names) >= 6
    assert [name for name in names if name not in text] == []
