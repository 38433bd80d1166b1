"""Turns on disk: one JSON line each, the same for models, solvers and people.

A line holds the state, from which its picture can be drawn again, so files stay small. A line is written
whole or not at all; reading names the line that is broken. Files named ``.zst`` are compressed: what is
written at once is a frame of its own.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from io import FileIO
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.game import State
from vlm_gym.registry import find
from vlm_gym.render import Frame
from vlm_gym.rollouts.position import LONGEST_NAME, to_episode, to_state

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION = 1
"""Of the schema; raised when a reader of the old lines would misread the new."""

_PIECE = 1 << 20
"""Bytes of a compressed file that are read, and unpacked, at once."""
_ROOM = 1 << 24
_MOST_PACKED = 1000
"""A file may unpack to `_ROOM` bytes and this many times its size. Recordings come to 10 to 450 times."""
_TOO_LONG = f"of more than {strict.LINE >> 20} MiB, which no turn takes"

_PICTURE = re.compile(r"(?:[0-9a-f]{32})?")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of an episode: what was shown, what was replied, what came of it."""

    episode: Episode
    policy: str
    """Who played: ``human``, ``solver``, ``hf:PATH``, ..."""
    number: int
    """Turns of the episode before this one, illegal ones included."""
    state: State
    """The state in which the reply was given."""
    reply: str
    action: str | None
    """The legal action that was played; None if the turn was lost."""
    error: str
    """Why the turn was lost, or ""."""
    event: str
    rewards: Mapping[str, float]
    """By term: ``game``, ``format``, ``perception``, ..."""
    score: float
    """The episode's sum after this turn, in the game's own unit."""
    terminated: bool
    truncated: bool
    success: bool
    picture: str
    """`fingerprint` of the picture that was shown, "" if nobody looked."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """What a model's reply took: ``tokens``, ``seconds``, ``dollars``, as far as it tells."""


_FIELDS = ("version", *(entry.name for entry in fields(Turn)))

_ENDS = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"})
"""What JSON lets stand though it ends a line for Python's `str.splitlines` and for JavaScript, escaped."""


def fingerprint(frame: Frame) -> str:
    """Name a picture by its pixels: 32 hex digits."""
    return blake2b(frame.tobytes(), digest_size=16).hexdigest()


def to_line(turn: Turn) -> str:
    """Write a turn as one line of JSON, without the line's end."""
    return dumps({"version": VERSION, **_plain(turn)})


def dumps(data: Any) -> str:
    """Write JSON without white space; bytes, which boards are often made of, become ``{"hex": ...}``."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text if text.isascii() else text.translate(_ENDS)


def from_line(line: str | bytes) -> Turn:
    """Read a turn back. Raises `ValueError` that says what is wrong with the line.

    Every field has its type and a value that some turn can have; whether the rules lead to it, only playing
    it again can prove (`replays.replay.verify`).
    """
    try:
        data = strict.parse(line)
    except ValueError as error:
        raise ValueError(f"not a line of JSON: {error}") from error
    if isinstance(data, dict) and data.get("version", VERSION) != VERSION:
        version = strict.shown(data["version"])
        raise ValueError(f"schema version {version}; this vlm-gym reads version {VERSION}")
    try:
        return _turn(strict.record(data, "the line", _FIELDS, optional=("usage",)))
    except ValueError as error:
        raise ValueError(f"not a turn of vlm-gym: {error}") from error


def _turn(data: Mapping[str, Any]) -> Turn:
    """Make a turn of the entries of a line."""
    strict.whole(data["version"], "version")
    episode = to_episode(data["episode"])
    state = to_state(find(episode.game), data["state"])
    return Turn(
        episode=episode,
        policy=strict.text(data["policy"], "policy", most=LONGEST_NAME),
        # A turn is only taken below the limit, so no number of a turn is large.
        number=strict.whole(data["number"], "number", 0, state.knobs.turns),
        state=state,
        reply=strict.text(data["reply"], "reply"),
        action=None if data["action"] is None else strict.text(data["action"], "action"),
        error=strict.text(data["error"], "error"),
        event=strict.text(data["event"], "event"),
        rewards=strict.numbers(data["rewards"], "rewards", needed=("game", "format")),
        score=strict.number(data["score"], "score"),
        terminated=strict.flag(data["terminated"], "terminated"),
        truncated=strict.flag(data["truncated"], "truncated"),
        success=strict.flag(data["success"], "success"),
        picture=_fingerprint(data["picture"]),
        usage=strict.numbers(data.get("usage", {}), "usage", least=0.0),
    )


def _fingerprint(value: Any) -> str:
    name = strict.text(value, "picture")
    if not _PICTURE.fullmatch(name):
        raise ValueError(f"picture is {strict.shown(name)}, not 32 hex digits or an empty text")
    return name


class Recorder:
    """Appends turns to a file, ``.jsonl`` or ``.jsonl.zst``, each on disk as soon as it is played.

    What a crash left half-written at the end is cut off, and said so in the log, before more is appended.
    """

    def __init__(self, path: Path) -> None:
        self._file = reopen(path, "a turn")
        self._path = path

    def write(self, *turns: Turn) -> None:
        """Append turns: all of them, or none and an `OSError` if the disk refuses."""
        place = self._file.seek(0, SEEK_END)
        text = "".join([f"{to_line(turn)}\n" for turn in turns]).encode()
        rest = memoryview(zstd.compress(text) if packed(self._path) else text)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(place)
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> Iterator[Turn]:
    """Read the turns of a file, in order. Raises `ValueError` that names the file and the line."""
    for number, line in numbered(path):
        try:
            yield from_line(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file, packed or not, with their numbers from 1.

    A last line without an end is a line if it is whole JSON. Raises `ValueError` at the end of a file that is
    half-written, `OSError` where there is no file.
    """
    size = path.stat().st_size
    end = 0
    number = 0
    for block in blocks(path):
        end = block.end
        # As bytes: in a text of another writer, U+2028 in a reply would end a line as well.
        for line in block.text.splitlines():
            number += 1
            if len(line) > strict.LINE:
                raise ValueError(f"{path}, line {number}: {_TOO_LONG}")
            yield number, line
    if end == size:
        return
    rest = b"" if packed(path) else _rest(path, end)
    try:
        strict.parse(rest)
    except ValueError as error:
        raise ValueError(f"{path}, after line {number}: the rest is half-written") from error
    yield number + 1, rest


def _rest(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(strict.LINE)


def reopen(path: Path, what: str) -> FileIO:
    """Open a file to append to. What a crash left half-written at its end is cut off, and the log says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = max((block.end for block in blocks(path)), default=0)
    # Without a buffer: what the disk refused would stay in it and be written, in part, at the next try.
    file = path.open("ab", buffering=0)
    if file.seek(0, SEEK_END) > end:
        log.warning("%s ends in %s that is half-written; cutting it off", path, what)
        file.truncate(end)
    return file


class Block(NamedTuple):
    """What was written at once, a line or a frame of several, and where in the file it ends."""

    text: bytes
    end: int

    @property
    def lines(self) -> list[str]:
        """Its lines. Parted as bytes: in a text of another writer, U+2028 in a reply ends one as well."""
        return [line.decode(errors="replace") for line in self.text.splitlines()]


def blocks(path: Path) -> Iterator[Block]:
    """Read a file as far as it is whole; nothing where there is none. `ValueError` if it holds no turns."""
    if not path.exists():
        return
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    with path.open("rb") as file:
        try:
            yield from _frames(file) if packed(path) else _lines(file)
        except zstd.ZstdError as error:
            raise ValueError(f"{path} is broken, or not packed by zstd: {error}") from error


def packed(path: Path) -> bool:
    """Tell by its name whether a file is compressed."""
    return path.suffix == ".zst"


def _lines(file: BinaryIO) -> Iterator[Block]:
    end = 0
    while line := file.readline(strict.LINE):
        end += len(line)
        if line.endswith(b"\n"):
            yield Block(line, end)
        elif len(line) == strict.LINE:
            raise ValueError(f"{file.name}: at byte {end - len(line)}, a line {_TOO_LONG}")


def _frames(file: BinaryIO) -> Iterator[Block]:
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
            # In pieces, since a few bytes can stand for gigabytes.
            pieces.append(frame.decompress(given, _PIECE))
            unpacked += len(pieces[-1])
            if unpacked > _ROOM + _MOST_PACKED * end:
                raise ValueError(f"{file.name}: it unpacks to more than {_MOST_PACKED} times its size")
        end -= len(frame.unused_data)
        yield Block(b"".join(pieces), end)
        data = frame.unused_data or file.read(_PIECE)


def _plain(value: Any) -> dict[str, Any]:
    """Spell what JSON has no word for; `dataclasses.asdict` would copy all the rest as well."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}
