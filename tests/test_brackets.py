"""Names with brackets and braces are shown as they are, not read as styles or formats of a terminal."""

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.gallery import catalogue

NAMES = [
    "{x}.jsonl",
    "{}.jsonl",
    "[exp].jsonl",
    "[red]a[bold].jsonl",
    "a[/b].jsonl",
    "[/].jsonl",
    "{0[.jsonl",
]


@pytest.mark.parametrize("name", NAMES)
def test_rollouts_go_into_a_file_of_any_name(tmp_path, name):
    path = tmp_path / name
    words = ["rollout", "--games", "2048", "--episodes", "1", "-r", "level=0,turns=2", "-o", str(path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert path.name in done.stderr
    assert path.is_file()


def test_a_rollout_that_is_stopped_names_its_file(tmp_path):
    path = tmp_path / "a[/b].jsonl"
    words = ["rollout", "--games", "2048", "--policy", "openai:m", "--base-url", "http://127.0.0.1:9/v1"]
    done = CliRunner().invoke(app, [*words, "--option", "retries=0", "--episodes", "1", "-o", str(path)])
    assert isinstance(done.exception, ConnectionError)
    assert f"{path} holds 0 of 1 episodes" in done.stderr


@pytest.mark.parametrize("model", ["[exp]/a", "a[/b]", "{x}", "[/]"])
def test_an_evaluation_shows_the_name_of_a_model_as_it_is(tmp_path, model, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = [
        "eval",
        "--policy",
        f"openai:{model}",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--option",
        "retries=0",
    ]
    few = ["--games", "2048", "--episodes", "1", "--turn-limit", "2", "-r", "0", "--workers", "0"]
    done = CliRunner().invoke(app, [*words, *few, "--no-baselines", "-o", str(tmp_path / "run")])
    assert done.exit_code == 1, done.exception
    assert f"openai:{model} lacks 1 episodes" in done.stdout


def test_what_a_broken_package_of_others_raises_is_shown_as_it_is(monkeypatch):
    def find(name: str) -> None:
        raise ValueError(f"{name}[/b] [exp]")

    monkeypatch.setattr(catalogue, "find", find)
    console = Console(width=200)
    with console.capture() as shown:
        console.print(next(iter(catalogue.all_games())))
    assert "cannot be loaded: 2048[/b] [exp]" in shown.get()
