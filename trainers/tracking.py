"""Metrics of a run, a line for every step, and its progress on the screen."""

import json
import sys
from collections.abc import Mapping
from concurrent.futures import Future, wait
from datetime import timedelta
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import TaskID
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vlm_gym.bars import bars, print_line
from vlm_gym.storage import Appender, LineFormat, read_lines, write_text

from .recipe import Table

METRICS = "metrics.jsonl"
"""One line a step: ``stage``, ``step``, then numbers by name."""
METRICS_SHOWN = ("reward", "loss")
"""The number beside a stage's bar: the first of these names that is logged."""
_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""
_RECENT = 3600.0
"""Window in seconds of the estimate of the remaining time. A step of a large model may take minutes."""


class Tracker(TrainerCallback):
    """Writes the numbers of one stage. Each step is there once, however often the run was stopped."""

    def __init__(self, path: Path, stage: str, screen: "Screen") -> None:
        self._path = path
        self._stage = stage
        self._screen = screen

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Take out the steps of this stage that are about to be done again."""
        if state.is_world_process_zero:
            cut(self._path, self._stage, state.global_step)
            self._screen.begin(self._stage, state.global_step, state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Write the line of a step."""
        if not state.is_world_process_zero or logs is None or "loss" not in logs:
            return
        line = {"stage": self._stage, "step": state.global_step, **logs}
        with Appender(self._path, STEP_LINES) as file:
            file.write(f"{json.dumps(line)}\n")
        self._screen.show(self._stage, state.global_step, _shown_metric(logs))


def cut(path: Path, stage: str, step: int) -> None:
    """Leave a stage's lines up to a step, and the lines of other stages as they are.

    Raises `ValueError` that names a broken line: a step that is lost would be missing from every curve.
    """
    if not path.exists():
        return
    kept = list[str]()
    for entry in read_lines(path, STEP_LINES):
        if entry["stage"] != stage or entry["step"] <= step:
            kept.append(f"{json.dumps(entry)}\n")
    write_text(path, "".join(kept))


def _entry(line: str) -> Table:
    entry = json.loads(line)
    if not isinstance(entry, dict) or type(entry.get("step")) is not int or "stage" not in entry:
        raise ValueError("no numbers of a step")
    return entry


STEP_LINES = LineFormat("numbers by step", b'{"stage":', _entry)
"""The format of the file of a run's metrics."""


def _shown_metric(numbers: Mapping[str, float]) -> str:
    """Return the name and the value of the first metric of `METRICS_SHOWN` that is there."""
    for name in METRICS_SHOWN:
        if name in numbers:
            return f"{name} {numbers[name]:.3f}"
    raise AssertionError("every line has a loss")


def follow(path: Path, totals: Mapping[str, int], ended: "Future[None]") -> None:
    """Show the bars of a run whose lines other processes write, until it has ended.

    `totals` are the steps of its stages, 0 where they are not known yet.
    """
    shown = set()
    with Screen() as screen:
        over = False
        while not over:
            over = bool(wait([ended], timeout=1).done)
            if lines := [*read_lines(path, STEP_LINES)]:
                line = lines[-1]
                if line["stage"] not in shown:
                    shown.add(line["stage"])
                    screen.begin(line["stage"], line["step"], totals.get(line["stage"]) or None)
                screen.show(line["stage"], line["step"], _shown_metric(line))


class Screen:
    """Progress of stages on standard error: a bar for each, as long as the context is open.

    Without a terminal, as in the log of a batch job, a line is written every half minute in place of bars.
    """

    def __init__(self) -> None:
        self._bars: dict[str, TaskID] = {}
        self._last_lines: dict[str, tuple[int, float]] = {}
        """The step of a stage that the last line was about, and when that was."""
        self._progress = bars("{task.fields[number]}", window=_RECENT)
        self._live = sys.stderr.isatty() and not self._progress.console.is_dumb_terminal

    def begin(self, stage: str, done: int, steps: int | None) -> None:
        """Show a stage of so many steps, some of which were done before."""
        if self._live:
            self._progress.start()
        self._bars[stage] = self._progress.add_task(stage, total=steps, completed=done, number="")

    def show(self, stage: str, step: int, number: str) -> None:
        """Show that a stage is at a step."""
        self._progress.update(self._bars[stage], completed=step, number=number)
        if not self._live:
            self._print_line(stage, step)

    def _print_line(self, stage: str, step: int) -> None:
        """Write a line about the first step, the last, and one of every half minute."""
        task = self._progress.tasks[self._bars[stage]]
        time = self._progress.get_time()
        before, last_time = self._last_lines.get(stage, (None, -inf))
        if step == before or (step != task.total and time - last_time < _EVERY):
            return
        self._last_lines[stage] = step, time
        parts = [f"{stage}: step {step}" + (f" of {task.total:g}" if task.total else "")]
        parts += [task.fields["number"]]
        if task.time_remaining:
            parts += [f"{timedelta(seconds=int(task.time_remaining))} left"]
        print_line(self._progress, ", ".join(parts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()
