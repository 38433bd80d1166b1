"""Turns on disk: one JSON line each, the same for models, solvers and people.

A line holds the state, from which its picture can be drawn again, so files stay small. A line is written
whole or not at all; reading names the line that is broken.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vlm_gym.episode import Episode
from vlm_gym.game import Game, State
from vlm_gym.registry import find
from vlm_gym.render import Frame

VERSION = 1
"""Of the schema; raised when a reader of the old lines would misread the new."""

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
    """`fingerprint` of the picture that was shown."""


def fingerprint(frame: Frame) -> str:
    """Name a picture by its pixels: 32 hex digits."""
    return blake2b(frame.tobytes(), digest_size=16).hexdigest()


def to_line(turn: Turn) -> str:
    """Write a turn as one line of JSON, without the line's end."""
    return dumps({"version": VERSION, **asdict(turn)})


def dumps(data: Any) -> str:
    """Write JSON without white space; bytes, which boards are often made of, become ``{"hex": ...}``."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=lambda raw: {"hex": raw.hex()})


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
    sample: State = game.start(0, game.levels[0])
    missing = {entry.name for entry in fields(sample)} ^ set(data)
    if missing:
        raise ValueError(f"a state of {game.name} has other fields: {sorted(missing)}")
    return type(sample)(knobs=kind(**data["knobs"]), **values)


class Recorder:
    """Appends turns to a file, each on disk as soon as it is played.

    A last line that a crash left half-written is cut off, and said so in the log, before more is appended.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self._cut_torn_line(path)

    def write(self, turn: Turn) -> None:
        """Append a turn. Raises `OSError` if the disk refuses; what was written before stays whole."""
        place = self._file.seek(0, 2)
        try:
            self._file.write(f"{to_line(turn)}\n".encode())
            self._file.flush()
        except OSError:
            self._file.truncate(place)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cut_torn_line(self, path: Path) -> None:
        self._file.seek(0)
        whole = self._file.read()
        if whole and not whole.endswith(b"\n"):
            log.warning("%s ends in half a line; cutting it off", path)
            self._file.truncate(whole.rfind(b"\n") + 1)


def read(path: Path) -> Iterator[Turn]:
    """Read the turns of a file, in order. Raises `ValueError` that names the file and the line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield from_line(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
