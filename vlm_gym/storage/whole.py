"""Files that are whole or not there: written aside, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from vlm_gym import strict
from vlm_gym.storage.lock import locked


@contextmanager
def whole(path: Path, held: bool = False) -> Iterator[Path]:
    """Yield a path to write to, ``PATH.part``, which replaces `path` if the block ends without an error.

    Writers of one file wait for each other; `held`: the caller has its lock already. A link stays a link: the
    file that it names is replaced. What is no regular file, such as ``/dev/stdout``, is written to as it is.
    An `OSError` names the file.
    """
    real = Path(os.path.realpath(path))
    special = real.exists() and not real.is_file()
    try:
        if special:
            yield path
        else:
            with nullcontext() if held else locked(real, wait=True):
                yield from _replaced(real)
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _replaced(path: Path) -> Iterator[Path]:
    """Yield a path aside, and rename it once it is written."""
    aside = path.with_name(f"{path.name}.part")
    try:
        yield aside
        _sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    with whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, data: object) -> None:
    """Write data as JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a file. Raises `ValueError` that names a broken one, `OSError` without one."""
    if path.is_file() and path.stat().st_size > strict.FILE:
        raise ValueError(f"{path} is broken: it is larger than {strict.FILE >> 20} MiB")
    try:
        data = strict.parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is broken: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is broken: it holds no object")
    return data


def _sync(path: Path) -> None:
    """Bring a file to the disk, so that after a power cut its new name is not that of an empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
