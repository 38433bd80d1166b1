"""What people see of a run while it goes on: bars on a terminal, lines in a log, and how long it takes."""

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from vlm_gym.trainers.tracking import Screen


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rich.console.monotonic", clock)
    return clock


def train(clock: Clock, steps: int, seconds: float, stage: str = "grpo", done: int = 0) -> None:
    """Show a stage whose steps take so long."""
    with Screen() as screen:
        screen.begin(stage, done, steps)
        for step in range(done + 1, steps + 1):
            clock.now += seconds
            screen.show(stage, step, f"reward {step / 10:.3f}")


def test_a_log_has_a_line_at_the_first_step_every_half_minute_and_at_the_last(clock, capsys):
    train(clock, 14, 5.0)
    assert capsys.readouterr().err.splitlines() == [
        "grpo: step 1 of 14, reward 0.100",
        "grpo: step 7 of 14, reward 0.700, 0:00:35 left",
        "grpo: step 13 of 14, reward 1.300, 0:00:05 left",
        "grpo: step 14 of 14, reward 1.400",
    ]


def test_a_log_tells_of_a_stage_of_one_step_and_of_one_that_goes_on(clock, capsys):
    train(clock, 1, 100.0)
    train(clock, 9, 100.0, "cold_start", done=7)
    assert capsys.readouterr().err.splitlines() == [
        "grpo: step 1 of 1, reward 0.100",
        "cold_start: step 8 of 9, reward 0.800",
        "cold_start: step 9 of 9, reward 0.900",
    ]


def test_a_log_repeats_no_step_however_long_it_takes(clock, capsys):
    with Screen() as screen:
        screen.begin("grpo", 3, None)
        for _ in range(5):
            clock.now += 100.0
            screen.show("grpo", 3, "loss 1.000")
    assert capsys.readouterr().err == "grpo: step 3, loss 1.000\n"


def test_the_time_that_is_left_is_told_of_steps_that_take_minutes(clock, capsys):
    train(clock, 5, 600.0)
    left = [line.partition(", ")[2].partition(", ")[2] for line in capsys.readouterr().err.splitlines()]
    assert left == ["", "0:30:00 left", "0:20:00 left", "0:10:00 left", ""]
