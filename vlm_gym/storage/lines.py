"""Files of JSON lines: lines that are ours, torn ones, and those of other programs.

Files named ``.zst`` are compressed: what is written at once is a frame of its own.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from vlm_gym import strict
from vlm_gym.storage.compression import zstd

T = TypeVar("T")
Entry = TypeVar("Entry", covariant=True)

_PIECE = 1 << 20
"""Bytes of a compressed file that are read, and unpacked, at once."""
_ROOM = 1 << 24
_MOST_PACKED = 1000
"""A file may unpack to `_ROOM` bytes and this many times its size. Recordings come to 10 to 450 times."""
TOO_LONG = f"of more than {strict.LONGEST_LINE >> 20} MiB, which no turn takes"
_BOM = b"\xef\xbb\xbf"
"""The byte order mark with which some editors begin a file of UTF-8."""
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"} | {
    code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)
}
"""What JSON permits unescaped, though it ends a line for Python's `str.splitlines` and for JavaScript; and
surrogates, which UTF-8 cannot encode."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineFormat(Generic[Entry]):
    """The lines that a writer of ours makes."""

    name: str
    """What the file holds, for messages: ``turns``, ``replies``."""
    start: bytes
    """How every line begins that our writer has written."""
    parse: Callable[[str], Entry]
    """Reads a line. Raises `ValueError` for one that is not ours."""

    def wrote(self, line: bytes) -> bool:
        """Check whether our writer has begun a line, whatever became of its rest."""
        return line.lstrip(b"\0").startswith(self.start)

    def begins(self, piece: bytes) -> bool:
        """Check whether bytes can be the first ones of a line that our writer did not finish.

        Zeros are what a power cut leaves in the place of bytes.
        """
        return self.wrote(piece) or self.start.startswith(piece.strip(b"\0"))


class LineBlock(NamedTuple):
    """What was written at once, a line or a frame of several, and where in the file it ends."""

    text: bytes
    end: int

    @property
    def lines(self) -> list[str]:
        """Its lines. Split as bytes: in a text of another writer, U+2028 in a reply ends one as well."""
        return [line.decode(errors="replace") for line in self.text.splitlines()]


def dumps(data: object) -> str:
    """Write JSON without white space, as one line of UTF-8; bytes become ``{"hex": ...}``."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text if text.isascii() else text.translate(_UNSAFE)


def blocks(path: Path) -> Iterator[LineBlock]:
    """Read a file as far as it is whole; yield nothing where there is none.

    A last line without a line end counts if it is a whole JSON object. A byte order mark is left out. Raises
    `ValueError` for what is no file, and for a ``.zst`` that is not compressed by zstd.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    first = True
    with path.open("rb") as file:
        try:
            for block in _frames(file) if packed(path) else _lines(file):
                yield block._replace(text=block.text.removeprefix(_BOM)) if first else block
                first = False
        except zstd.ZstdError as error:
            raise ValueError(f"{path} is broken, or not packed by zstd: {error}") from error


def read_lines(path: Path, form: LineFormat[T]) -> Iterator[T]:
    """Read the lines of a journal, around those that are torn, which are logged.

    A whole line that is glued to a torn one is read. Raises `ValueError` that names the file and the line if
    the file holds whole lines of another format, or nothing of this one.
    """
    number = 0
    ours = False
    strange = 0
    """The first line that looks like nothing of ours. Behind lines of ours, it is what is left of one."""
    for block in blocks(path):
        for line in block.lines:
            number += 1
            whole = whole_part(line, form)
            if whole != line:
                log.warning("%s, line %d is torn; it is left out", path, number)
                ours = ours or form.wrote(line.encode())
                strange = strange or number
            if whole:
                try:
                    entry = form.parse(whole)
                except ValueError as error:
                    words = f"{path} holds something else than {form.name} in line {number}: {error}"
                    raise ValueError(words) from error
                ours = True
                yield entry
    if strange and not ours:
        raise ValueError(f"{path} holds something else than {form.name} in line {strange}")


def whole_part(line: str, form: LineFormat[object]) -> str:
    """Return the line if it is a whole JSON object, else one of ours that is glued to its end, or ""."""
    if is_json(line):
        return line
    start = line.rfind(form.start.decode())
    rest = line[start:] if start > 0 else ""
    return rest if is_json(rest) else ""


def is_json(text: str | bytes) -> bool:
    """Check whether a text is a whole JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def packed(path: Path) -> bool:
    """Check by its name whether a file is compressed."""
    return path.suffix == ".zst"


def _lines(file: BinaryIO) -> Iterator[LineBlock]:
    end = 0
    while line := file.readline(strict.LONGEST_LINE):
        end += len(line)
        if len(line) == strict.LONGEST_LINE and not line.endswith(b"\n"):
            raise ValueError(f"{file.name}: at byte {end - len(line)}, a line {TOO_LONG}")
        if line.endswith(b"\n") or is_json(line.removeprefix(_BOM)):
            yield LineBlock(line, end)


def _frames(file: BinaryIO) -> Iterator[LineBlock]:
    end = 0
    unpacked = 0
    data = file.read(_PIECE)
    while data:
        frame = zstd.ZstdDecompressor()
        pieces: list[bytes] = []
        while not frame.eof:
            given = b""
            if frame.needs_input:
                given = data or file.read(_PIECE)
                data = b""
                end += len(given)
                if not given:
                    return
            # In chunks, since a few bytes can unpack to gigabytes.
            pieces.append(frame.decompress(given, _PIECE))
            unpacked += len(pieces[-1])
            if unpacked > _ROOM + _MOST_PACKED * end:
                raise ValueError(f"{file.name}: it unpacks to more than {_MOST_PACKED} times its size")
        end -= len(frame.unused_data)
        yield LineBlock(b"".join(pieces), end)
        data = frame.unused_data or file.read(_PIECE)


def _plain(value: object) -> dict[str, object]:
    """Spell what JSON has no word for; `dataclasses.asdict` would copy all the rest as well."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    assert is_dataclass(value), value
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}
