"""The benchmark of training: both trainers run, on replies of one length. No test is about their speed."""

from io import StringIO

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from rich.console import Console
from typer.testing import CliRunner
from vlm_gym.trainers import benchmark

from vlm_gym.cli import app


@pytest.mark.slow
def test_both_trainers_learn_from_equally_many_replies_of_one_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "STATES", 2)
    monkeypatch.setattr(benchmark, "COMPLETIONS", 2)
    monkeypatch.setattr(benchmark, "LENGTH", 6)
    ours, theirs = benchmark.time_trainers(steps=2)
    for rate in (ours, theirs):
        assert len(rate.seconds) == len(rate.busy) == 2
        assert min(*rate.seconds, *rate.busy) > 0
        assert rate.rows == 4
        assert rate.length == 6
    console = Console(width=160, file=StringIO())
    with console.capture() as captured:
        console.print(benchmark.rate_table([ours, theirs]))
    assert "2 states x 2 replies of 6 tokens a step; load of the" in captured.get()
    assert f"{ours.samples / theirs.samples:.2f}" in captured.get()


def test_rates_are_rows_over_the_median_step() -> None:
    rate = benchmark.Rate("a", (1.0, 4.0, 2.0), (1.0, 1.0, 3.0), 8, 6.0)
    assert (rate.step, rate.samples, rate.busy_step) == (2.0, 4.0, 1.0)


def test_games_are_no_part_of_the_benchmark_of_training() -> None:
    result = CliRunner().invoke(app, ["bench", "2048", "--training"])
    assert "--training times one fixed task" in str(result.exception)
