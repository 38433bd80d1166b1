"""The data of a cold start on disk: rows as Parquet, which `datasets`, TRL and others read as it is."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, List, Value
from datasets.data_files import DataFilesList
from datasets.exceptions import DatasetsError

from vlm_gym import strict
from vlm_gym.bars import bars
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.rollouts.history import USUAL
from vlm_gym.rollouts.policy import PastTurn, Request
from vlm_gym.storage import difference, locked_folder, read_json, write_json, write_text
from vlm_gym.workers import Pool

from ..recipe import Recipe, Table
from . import teachers
from .cold_start_rows import ColdStartRows, DataRow
from .preview import preview

ROWS = "rows.parquet"
SETTINGS = "data.json"
PREVIEW_FILE = "preview.html"
CACHE = "cache"
"""The files of a folder of data: the rows; the settings, with the counts of replies; a page that shows some
of the rows; and the rows as `datasets` maps them into memory."""

_DECODING = ("temperature", "max_tokens", "seed")
"""Options of a teacher that its replies depend on; the others say how to reach it."""
_GROUP = 1000
_BYTES = 16 << 20
"""Rows, or bytes of pictures, of a row group. It bounds the memory."""

_MESSAGES = List(
    {"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})}
)
FEATURES = Features(
    {
        "game": Value("string"),
        "reasoning": Value("string"),
        "perception": Value("string"),
        "state": Value("string"),
        "past": Value("string"),
        "value": Value("float64"),
        "prompt": _MESSAGES,
        "completion": _MESSAGES,
        "images": List(Image()),
    }
)
"""The columns. `state` is JSON as in recordings, `past` a list of state, reply and feedback for each turn
before that is shown; `value` is what the solver gives the answer, in [0, 1]."""


def make_rows(recipe: Recipe, out: Path, workers: int | Pool = 0) -> Path:
    """Make the rows of a recipe in a folder, unless they are there, and return the path of their file.

    If it is stopped, the next call begins anew, but asks for no reply that was paid for again. Processes that
    need the same rows wait for the first. Raises `ValueError` if the folder holds data of other settings or a
    task has too few positions, `RuntimeError` if hardly a reply is kept, `ConnectionError` without any reply.
    """
    settings = _settings(recipe)
    path = out / ROWS
    if "::" in str(path.absolute()):
        raise ValueError(
            f"{out} is not possible: datasets reads :: as a chain of files; choose another folder"
        )
    with locked_folder(out, wait=True):
        replies = out / teachers.REPLIES
        paid = replies.exists() and replies.stat().st_size > 0
        before = _before(out)
        if before is not None and (path.exists() or paid):
            if changed := difference(before, settings, "recipe"):
                raise ValueError(f"{out} holds data of other settings: {changed}; choose another folder")
            if path.exists():
                return path
        write_json(out / SETTINGS, {"settings": settings})
        made = ColdStartRows(recipe, teachers.make_teacher(recipe.data, out), workers)
        aside = path.with_name(f"{path.name}.part")
        _write(aside, made, recipe.data.rows)
        dropped = [dict(replies) for replies in made.replies]
        write_json(out / SETTINGS, {"settings": settings, "replies": dropped, "usage": dict(made.usage)})
        write_text(out / PREVIEW_FILE, preview(recipe, aside, made.replies))
        aside.replace(path)
    return path


def _before(out: Path) -> object:
    """Return the settings of the data that a folder holds, None if it holds none.

    Raises `ValueError` for files of something else, which would be replaced.
    """
    if (out / SETTINGS).exists():
        settings = read_json(out / SETTINGS)
        if "settings" not in settings:
            raise ValueError(f"{out / SETTINGS} is of something else; choose another folder")
        return settings["settings"]
    for name in (ROWS, PREVIEW_FILE):
        if (out / name).exists():
            raise ValueError(f"{out / name} is of something else; choose another folder")
    return None


def open_rows(path: Path) -> Dataset:
    """Open rows for training: `prompt` and `completion` as `Request.messages` has them, `images` as PIL's.

    `datasets` keeps its own copy in a cache beside the file, so that it is removed with the folder. Raises
    `ValueError` that names a file that is truncated or holds something else.
    """
    # A list of resolved files, since `datasets` would read a path as a pattern. The second list, the times of
    # the last changes, tells `datasets` whether its cache is of this version of the file.
    data_files = DataFilesList([str(path.absolute())], [(str(path.stat().st_mtime_ns),)])
    with _naming(path):
        if pq.read_schema(path).names != list(FEATURES):
            raise ValueError(f"its columns are not {', '.join(FEATURES)}")
        made = Dataset.from_parquet({"train": data_files}, split="train", cache_dir=str(path.parent / CACHE))
    return made.with_transform(_without_nulls)


def read_replies(recipe: Recipe, path: Path) -> list[tuple[Request, str]]:
    """Read rows as requests and the replies to them."""
    tasks = {(task.game, task.reasoning, task.perception): task for task in recipe.task}
    columns = ["game", "reasoning", "perception", "state", "past", "completion"]
    replies = list[tuple[Request, str]]()
    with _naming(path):
        written = pq.read_schema(path).names  # earlier versions wrote no turns before
        table = pq.read_table(path, columns=[name for name in columns if name in written])
        for row in table.to_pylist():
            task = tasks[row["game"], row["reasoning"], row["perception"]]
            game = find(task.game)
            past = list[PastTurn]()
            for earlier, reply, feedback in strict.parse(row.get("past", "[]")):
                past.append(PastTurn(to_state(game, earlier), reply, feedback))
            state = to_state(game, strict.parse(row["state"]))
            (block,) = row["completion"][0]["content"]
            replies.append((task.request(state, tuple(past)), block["text"]))
    return replies


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise a `ValueError` that names a file for whatever its contents make a reader raise."""
    try:
        yield
    except (DatasetsError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        message = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"{path} is broken: {message[:200]}") from error


def _settings(recipe: Recipe) -> Table:
    """Return the settings that the rows depend on, as plain data."""
    plain = recipe.resolved()
    options = plain["data"].pop("options")
    decoding = dict[str, object]()
    for name, value in options.items():
        if name in _DECODING:
            decoding[name] = value
    settings = {"seed": plain["seed"], "task": plain["task"], "data": {**plain["data"], "options": decoding}}
    # Newer keys are left out at their defaults, so that older data still match.
    if not recipe.data.recoveries:
        del settings["data"]["recoveries"]
    if recipe.context != USUAL:
        settings |= {name: plain[name] for name in ("history", "history_replies")}
    return settings


def _write(path: Path, made: Iterable[DataRow], count: int) -> None:
    """Write rows to a file, so many at a time, and show how far it is on standard error.

    Raises `OSError` that names the file, as Python's own does, where pyarrow's does not.
    """
    schema = FEATURES.arrow_schema
    try:
        with (
            bars() as progress,
            pq.ParquetWriter(path, schema) as file,
        ):
            for group in _groups(progress.track(made, total=count, description="cold-start rows")):
                file.write_table(pa.Table.from_pylist(group, schema))
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _groups(made: Iterable[DataRow]) -> Iterator[list[DataRow]]:
    group = list[DataRow]()
    size = 0
    for row in made:
        group.append(row)
        size += sum(len(image["bytes"]) for image in row["images"])
        if len(group) == _GROUP or size >= _BYTES:
            yield group
            group = []
            size = 0
    if group:
        yield group


def _without_nulls(batch: dict[str, list[object]]) -> dict[str, list[object]]:
    """Leave out the texts of pictures, which Parquet has as nulls."""
    cleaned = dict(batch)
    for name in ("prompt", "completion"):
        if name in batch:  # a caller may ask for single columns
            cleaned[name] = list(map(_drop_nulls, batch[name]))
    return cleaned


def _drop_nulls(value: object) -> object:
    """Copy messages without the entries of objects that are null."""
    if isinstance(value, list):
        return list(map(_drop_nulls, value))
    if not isinstance(value, dict):
        return value
    kept = dict[str, object]()
    for key, entry in value.items():
        if entry is not None:
            kept[key] = _drop_nulls(entry)
    return kept
