"""Turns on disk: one JSON line each, the same for models, solvers and people.

A line holds the state, from which its picture can be drawn again, so files stay small. A line is written
whole or not at all; reading names the line that is broken. Files named ``.zst`` are compressed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vlm_gym.episode import Episode
from vlm_gym.game import Game, State
from vlm_gym.registry import find
from vlm_gym.render import Frame
from vlm_gym.storage import Appender, LineFormat, dumps, locked, packed
from vlm_gym.storage.compression import zstd

VERSION = 1
"""Of the schema; raised when a reader of the old lines would misread the new."""


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


def fingerprint(frame: Frame) -> str:
    """Name a picture by its pixels: 32 hex digits."""
    return blake2b(frame.tobytes(), digest_size=16).hexdigest()


def to_line(turn: Turn) -> str:
    """Write a turn as one line of JSON, without the line's end."""
    return dumps({"version": VERSION, **{entry.name: getattr(turn, entry.name) for entry in fields(turn)}})


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


def check_turn(line: str) -> None:
    """Raise `ValueError` if a line of JSON is no turn of this version; its state is not read."""
    data = json.loads(line)
    if not isinstance(data, dict) or not {"version", "episode", "state", "reply"} <= data.keys():
        raise ValueError("a line is no turn of vlm-gym")
    if data["version"] != VERSION:
        raise ValueError(f"schema version {data['version']!r}; this vlm-gym writes version {VERSION}")


TURN_LINES = LineFormat("turns of vlm-gym", b'{"version":', check_turn)
"""What a recording is made of."""


class Recorder:
    """Appends turns to a file, ``.jsonl`` or ``.jsonl.zst``, each on disk as soon as it is played.

    What a crash left half-written at the end is cut off and logged before more is appended. Raises
    `ValueError`, and leaves the file as it is, if it holds something else, and `InUse` (a `ValueError`) while
    another command writes to it.
    """

    def __init__(self, path: Path, held: bool = False) -> None:
        """Open a file. `held`: the caller holds its lock already."""
        with ExitStack() as stack:
            if not held:
                stack.enter_context(locked(path))
            self._file = stack.enter_context(Appender(path, TURN_LINES))
            self._open = stack.pop_all()

    def write(self, *turns: Turn) -> None:
        """Append turns: all of them, or none and an `OSError` if the disk refuses."""
        self._file.write("".join([f"{to_line(turn)}\n" for turn in turns]))

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> Iterator[Turn]:
    """Read the turns of a file, in order. Raises `ValueError` that names the file and the line."""
    number = 0
    code = "utf-8-sig"  # a byte order mark is left out
    with zstd.open(path, "rt", encoding=code) if packed(path) else path.open(encoding=code) as file:
        try:
            for line in file:
                number += 1
                yield from_line(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        except (EOFError, zstd.ZstdError) as error:
            raise ValueError(f"{path}, after line {number}: {error}") from error


@lru_cache(maxsize=64)
def _kind(game: Game[Any]) -> tuple[type[State], frozenset[str]]:
    """Tell the class of a game's states, and the names of its fields."""
    sample: State = game.start(0, game.levels[0])
    return type(sample), frozenset(entry.name for entry in fields(sample))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
