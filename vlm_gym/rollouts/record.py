"""Turns on disk: one JSON line each, the same for models, solvers and people.

A line holds the state, from which its picture can be drawn again, so files stay small. A line is written
whole or not at all; reading names the line that is broken. Files named ``.zst`` are compressed: what is
written at once is a frame of its own.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import blake2b
from io import FileIO
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from vlm_gym.episode import Episode
from vlm_gym.game import Game, State
from vlm_gym.registry import find
from vlm_gym.render import Frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION = 1
"""Of the schema; raised when a reader of the old lines would misread the new."""

_PIECE = 1 << 20
"""Bytes of a compressed file that are read at once."""

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
    """What a model's reply took: ``tokens``, ``seconds``, ``dollars``, as far as it reports them; ``cut`` is
    1 for a reply that ended at the token limit."""
    refused: str = ""
    """What an endpoint reported instead of a reply; "" for a turn with a reply. The episode ends there. A
    line has this field only where it is not empty."""


_ENDS = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"})
"""What JSON lets stand though it ends a line for Python's `str.splitlines` and for JavaScript, escaped."""


def fingerprint(frame: Frame) -> str:
    """Name a picture by its pixels: 32 hex digits."""
    return blake2b(frame.tobytes(), digest_size=16).hexdigest()


def to_line(turn: Turn) -> str:
    """Write a turn as one line of JSON, without the line's end."""
    data = _plain(turn)
    if not turn.refused:
        del data["refused"]
    return dumps({"version": VERSION, **data})


def dumps(data: Any) -> str:
    """Write JSON without white space; bytes, which boards are often made of, become ``{"hex": ...}``."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text if text.isascii() else text.translate(_ENDS)


def from_line(line: str) -> Turn:
    """Read a turn back. Raises `ValueError` that says what is wrong with the line."""
    try:
        data = json.loads(line)
        version = data.pop("version")
        if version != VERSION:
            raise ValueError(f"schema version {version!r}; this vlm-gym reads version {VERSION}")
        episode = Episode(**data.pop("episode"))
        return Turn(episode=episode, state=to_state(find(episode.game), data.pop("state")), **data)
    except json.JSONDecodeError as error:
        raise ValueError(f"not a line of JSON ({error})") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a turn of vlm-gym: {error}") from error


def to_state(game: Game[Any], data: Mapping[str, Any]) -> State:
    """Make a state from its JSON, in which tuples have become lists and bytes hex digits."""
    kind = type(game.levels[0])
    values = {name: _frozen(value) for name, value in data.items() if name != "knobs"}
    state, names = _kind(game)
    if missing := names ^ set(data):
        raise ValueError(f"a state of {game.name} has other fields: {sorted(missing)}")
    return state(knobs=kind(**data["knobs"]), **values)


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
    number = 0
    with zstd.open(path, "rt", encoding="utf-8") if packed(path) else path.open(encoding="utf-8") as file:
        try:
            for line in file:
                number += 1
                yield from_line(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        except (EOFError, zstd.ZstdError) as error:
            raise ValueError(f"{path}, after line {number}: {error}") from error


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
    for line in file:
        end += len(line)
        if line.endswith(b"\n"):
            yield Block(line, end)


def _frames(file: BinaryIO) -> Iterator[Block]:
    end, packed = 0, file.read(_PIECE)
    while packed:
        frame, text = zstd.ZstdDecompressor(), []
        while not frame.eof:
            text.append(frame.decompress(packed))
            end += len(packed) - len(frame.unused_data)
            packed = frame.unused_data or file.read(_PIECE)
            if not packed and not frame.eof:
                return
        yield Block(b"".join(text), end)


@lru_cache(maxsize=64)
def _kind(game: Game[Any]) -> tuple[type[State], frozenset[str]]:
    """Tell the class of a game's states, and the names of its fields."""
    sample: State = game.start(0, game.levels[0])
    return type(sample), frozenset(entry.name for entry in fields(sample))


def _plain(value: Any) -> dict[str, Any]:
    """Spell what JSON has no word for; `dataclasses.asdict` would copy all the rest as well."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
