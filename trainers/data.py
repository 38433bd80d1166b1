"""The rows of a cold start: pictures, what is asked about them, and what a teacher replies.

A row is made by the same `Request` that evaluation makes, so words and pictures are those of evaluation, byte
for byte. Rows are kept as Parquet, which `datasets`, TRL and others read as it is.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, List, Value
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vlm_gym.dice import Dice
from vlm_gym.evaluation.runs import difference, read_json, write_json
from vlm_gym.game import State
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.rollouts.encode import png
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.record import dumps
from vlm_gym.rollouts.states import sample
from vlm_gym.workers import Pool, pool

from .recipe import Recipe, Task
from .teachers import Solver, Taught, Teacher

ROWS, SETTINGS = "rows.parquet", "data.json"

_STREAM = 0xC01D57A7
"""What tells the chance of these rows from that of the other parts of a run."""
_CHUNK = 32
"""Rows that a process makes at a time."""
_GROUP = 1000
"""Rows that are written at once: more than these are never in memory."""

_MESSAGES = List(
    {"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})}
)
FEATURES = Features(
    {
        "game": Value("string"),
        "reasoning": Value("string"),
        "perception": Value("string"),
        "state": Value("string"),
        "value": Value("float64"),
        "prompt": _MESSAGES,
        "completion": _MESSAGES,
        "images": List(Image()),
    }
)
"""The columns. `state` is JSON as in recordings; `value` is what the solver gives the answer, in [0, 1]."""


class Lesson(NamedTuple):
    """A position that a teacher is to reply to, and the task that it is of."""

    task: Task
    state: State

    @property
    def request(self) -> Request:
        """Ask for the reply as evaluation does."""
        game = find(self.task.game)
        return Request(game, self.state, self.task.look, 0, instructions(game, self.state.knobs))


def make(recipe: Recipe, out: Path, workers: int | Pool = 0) -> Path:
    """Make the rows of a recipe in a folder, unless they are there, and give the path of their file.

    Processes that make the same rows wait for the one that came first. Raises `ValueError` if the folder
    holds rows of other settings, if a task has too few positions, or if a game has no solver to teach it.
    """
    plain = recipe.resolved()
    settings = {name: plain[name] for name in ("seed", "task", "data")}
    path = out / ROWS
    with _alone(out):
        if (out / SETTINGS).exists():
            if other := difference(read_json(out / SETTINGS)["settings"], settings, "data"):
                raise ValueError(f"{out} holds data of other settings: {other}; choose another folder")
            if path.exists():
                return path
        write_json(out / SETTINGS, {"settings": settings})
        aside = path.with_name(f"{path.name}.part")
        _write(aside, _rows(recipe, Solver(), workers), recipe.data.rows)
        aside.replace(path)
    return path


def rows(path: Path) -> Dataset:
    """Open rows for training: `prompt` and `completion` as `Request.messages` has them, `images` as PIL's."""
    return Dataset.from_parquet(str(path)).with_transform(_without_nothing)


def lessons(recipe: Recipe, workers: int | Pool = 0) -> list[Lesson]:
    """Draw the positions: shares by weight of task, no two alike in one task, none of the test stream."""
    crew = pool(workers)
    drawn = [
        Lesson(task, state)
        for at, (task, count) in enumerate(zip(recipe.task, _shares(recipe), strict=True))
        for _, state in _positions(recipe, at, task, count, crew or 0)
    ]
    Dice(recipe.seed, _STREAM).shuffle(drawn)
    return drawn


def _positions(recipe: Recipe, at: int, task: Task, count: int, workers: int | Pool) -> list[Any]:
    seed = Dice(recipe.seed ^ _STREAM, at).bits()
    return list(sample(count, [task.mixture(recipe.data.shares)], seed, unique=True, workers=workers))


def _shares(recipe: Recipe) -> list[int]:
    """Share the rows out by weight: as near as whole numbers get."""
    total, done, given, counts = sum(task.weight for task in recipe.task), 0.0, 0, []
    for task in recipe.task:
        done += task.weight
        counts.append(round(recipe.data.rows * done / total) - given)
        given += counts[-1]
    return counts


def _rows(recipe: Recipe, teacher: Teacher, workers: int | Pool) -> Iterator[dict[str, Any]]:
    waiting, crew = iter(lessons(recipe, workers)), pool(workers)
    chunks = iter(lambda: tuple(islice(waiting, _CHUNK)), ())
    for part in (crew.map if crew else map)(partial(_taught, teacher), chunks):
        yield from part


def _taught(teacher: Teacher, asked: tuple[Lesson, ...]) -> list[dict[str, Any]]:
    requests = [lesson.request for lesson in asked]
    return [
        _row(lesson, request, taught)
        for lesson, request, taught in zip(asked, requests, teacher.teach(requests), strict=True)
    ]


def _row(lesson: Lesson, request: Request, taught: Taught) -> dict[str, Any]:
    task, state = lesson
    return {
        "game": task.game,
        "reasoning": task.reasoning,
        "perception": task.perception,
        "state": dumps(state),
        "value": taught.value,
        "prompt": request.messages(),
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": taught.reply}]}],
        "images": [{"bytes": png(picture), "path": None} for picture in request.pictures()],
    }


def _write(path: Path, made: Iterable[Mapping[str, Any]], count: int) -> None:
    """Write rows to a file, so many at a time, and show how far it is on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    schema, waiting = FEATURES.arrow_schema, iter(made)
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        pq.ParquetWriter(path, schema) as file,
    ):
        waiting = iter(progress.track(waiting, total=count, description="cold-start rows"))
        while group := list(islice(waiting, _GROUP)):
            file.write_table(pa.Table.from_pylist(group, schema))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Let one process at a time work in a folder; the others wait."""
    out.mkdir(parents=True, exist_ok=True)
    place = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _without_nothing(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Leave out the texts of pictures, which Parquet has to write as null."""
    for name in {"prompt", "completion"} & batch.keys():
        batch[name] = [
            [
                {
                    **message,
                    "content": [{k: v for k, v in block.items() if v is not None} for block in blocks],
                }
                for message in messages
                for blocks in [message["content"]]
            ]
            for messages in batch[name]
        ]
    return batch
