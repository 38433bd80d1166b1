"""Appending to a file of lines: all of a text or nothing of it, and only to a file that is ours."""

import errno
import logging
import os
from pathlib import Path

from vlm_gym import strict
from vlm_gym.storage.closing import Closing
from vlm_gym.storage.compression import zstd
from vlm_gym.storage.lines import TOO_LONG, LineBlock, LineFormat, blocks, is_json, packed, whole_part

_MAGIC = b"\x28\xb5\x2f\xfd"
"""The first bytes of a frame of zstd."""
_HEAD = 1 << 16
"""Bytes of a half-written end that are looked at."""

log = logging.getLogger(__name__)


class Appender(Closing):
    """A file, ``.zst`` or not, that lines are appended to, each on disk as soon as it is written.

    What a crash left half-written at its end is cut off and logged; a whole last line gets its line end.
    Raises `ValueError`, and leaves the file as it is, if it holds something else. The caller holds the lock
    of the file, or of its folder.
    """

    def __init__(self, path: Path, form: LineFormat[object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        end, ended = _checked(path, form)
        # Unbuffered: bytes that the disk refused would stay in a buffer, and be written at the next try.
        self._file = path.open("ab", buffering=0)
        self._path = path
        self._undone: int | None = None
        """Where the file has to be cut before anything is written: an earlier cut was refused."""
        if path.is_file() and self._file.seek(0, os.SEEK_END) > end:
            log.warning("%s: its last line is half-written; cutting it off", path)
            self._file.truncate(end)
        if not ended:
            self._write(b"\n")

    def write(self, text: str) -> None:
        """Append whole lines: all of them, or nothing and an `OSError` that names the file.

        Raises `ValueError` for a line of more than `strict.LONGEST_LINE` bytes, which readers refuse.
        """
        data = text.encode()
        if (
            len(data) > strict.LONGEST_LINE
            and max(map(len, data.splitlines(keepends=True))) > strict.LONGEST_LINE
        ):
            raise ValueError(f"{self._path}: a line {TOO_LONG}, cannot be written")
        self._write(zstd.compress(data) if packed(self._path) else data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            if self._undone is not None:
                self._file.truncate(self._undone)
                self._undone = None
            end = self._file.seek(0, os.SEEK_END) if self._file.seekable() else None
            rest = memoryview(data)
            try:
                while rest:
                    count = self._file.write(rest)  # the disk may take a part, and refuse the next one
                    if not count:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    rest = rest[count:]
            except BaseException:  # also for Ctrl-C between two parts
                self._undo(end)
                raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _undo(self, end: int | None) -> None:
        """Cut off what was written in part; before the next write, if that is refused now."""
        if end is None:
            return
        try:
            self._file.truncate(end)
        except OSError:
            self._undone = end


def cut_back(path: Path, form: LineFormat[object], end: int) -> None:
    """Cut a file of ours to its first `end` bytes, where a line ends. A whole last line gets its line end.

    Raises `ValueError`, and leaves the file as it is, if it holds something else.
    """
    if not path.exists():
        return
    last, ended = _checked(path, form)
    with path.open("rb+") as file:
        file.truncate(end)
        if end == last and not ended:
            file.seek(end)
            file.write(b"\n")


def _checked(path: Path, form: LineFormat[object]) -> tuple[int, bool]:
    """Check that a file is ours. Return where its whole lines end, and whether with a line end."""
    if not path.is_file():
        return 0, True
    ours = False
    strange = False
    last = LineBlock(b"\n", 0)
    for block in blocks(path):
        last = block
        for line in block.lines if not ours else ():
            ours = _is_ours(path, form, whole_part(line, form)) or ours
            strange = strange or not form.wrote(line.encode())
    ended = packed(path) or last.text.endswith(b"\n")
    for line in last.lines[-1:]:
        _is_ours(path, form, line)
    with path.open("rb") as file:
        file.seek(last.end)
        tail = file.read(_HEAD)
    if (strange and not ours) or not _is_torn(path, form, tail):
        raise ValueError(f"{path} holds something else than {form.name}; choose another file")
    return last.end, ended


def _is_ours(path: Path, form: LineFormat[object], line: str) -> bool:
    """Check whether a line is whole. Raises `ValueError` if it is, and of another format."""
    if not is_json(line):
        return False
    try:
        form.parse(line)
    except ValueError as error:
        words = f"{path} holds something else than {form.name} ({error}); choose another file"
        raise ValueError(words) from error
    return True


def _is_torn(path: Path, form: LineFormat[object], tail: bytes) -> bool:
    """Check whether the end of a file is what our writer did not finish."""
    if not packed(path):
        return form.begins(tail)
    if not tail.startswith(_MAGIC):
        return _MAGIC.startswith(tail)
    try:
        return form.begins(zstd.ZstdDecompressor().decompress(tail))
    except zstd.ZstdError:
        return False
