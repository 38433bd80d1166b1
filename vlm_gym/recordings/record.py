"""Turns on disk: one JSON line each, the same for models, solvers and people.

A line holds the state, from which its picture can be drawn again, so files stay small. A line is written
whole or not at all; reading names the line that is broken. Files named ``.zst`` are compressed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.game import State
from vlm_gym.recordings.position import LONGEST_NAME, to_episode, to_state
from vlm_gym.registry import find
from vlm_gym.render import Frame
from vlm_gym.storage import Appender, Closing, LineFormat, blocks, dumps, locked
from vlm_gym.storage.lines import TOO_LONG

RECORD_VERSION = 1
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
    """`fingerprint` of the picture that was shown, "" if the policy sees no pictures."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """What a model's reply took: ``tokens``, ``seconds``, ``dollars``, as far as it reports them; ``cut`` is
    1 for a reply that ended at the token limit."""
    refused: str = ""
    """What an endpoint reported instead of a reply; "" for a turn with a reply. The episode ends there. A
    line has this field only where it is not empty."""


_FIELDS = ("version", *(entry.name for entry in fields(Turn)))
_LONGEST = 20_000
"""Characters of what comes of a turn. A reply can be longer."""
_PICTURE = re.compile(r"(?:[0-9a-f]{32})?")


def fingerprint(frame: Frame) -> str:
    """Name a picture by its pixels: 32 hex digits."""
    return blake2b(frame.tobytes(), digest_size=16).hexdigest()


def to_line(turn: Turn) -> str:
    """Write a turn as one line of JSON, without the line's end."""
    data = {entry.name: getattr(turn, entry.name) for entry in fields(turn)}
    if not turn.refused:
        del data["refused"]
    return dumps({"version": RECORD_VERSION, **data})


def from_line(line: str | bytes) -> Turn:
    """Read a turn back. Raises `ValueError` that says what is wrong with the line.

    Every field has its type and a value that some turn can have; whether the rules lead to it, only playing
    it again can prove (`replays.replay.verify`).
    """
    try:
        data = strict.parse(line)
    except ValueError as error:
        raise ValueError(f"not a line of JSON: {error}") from error
    if isinstance(data, dict) and data.get("version", RECORD_VERSION) != RECORD_VERSION:
        version = strict.shown(data["version"])
        raise ValueError(f"schema version {version}; this vlm-gym reads version {RECORD_VERSION}")
    try:
        return _turn(strict.record(data, "the line", _FIELDS, optional=("usage", "refused")))
    except ValueError as error:
        raise ValueError(f"not a turn of vlm-gym: {strict.brief(error)}") from error


def _turn(data: Mapping[str, object]) -> Turn:
    """Make a turn of the entries of a line."""
    strict.whole(data["version"], "version")
    episode = to_episode(data["episode"])
    state = to_state(find(episode.game), data["state"])
    return Turn(
        episode=episode,
        policy=strict.text(data["policy"], "policy", most=LONGEST_NAME),
        # The turn limit bounds the number of a turn.
        number=strict.whole(data["number"], "number", 0, state.knobs.turns),
        state=state,
        reply=strict.text(data["reply"], "reply"),
        action=None if data["action"] is None else strict.text(data["action"], "action", longest=_LONGEST),
        error=strict.text(data["error"], "error", longest=_LONGEST),
        event=strict.text(data["event"], "event", longest=_LONGEST),
        rewards=strict.numbers(data["rewards"], "rewards", needed=("game", "format")),
        score=strict.number(data["score"], "score"),
        terminated=strict.flag(data["terminated"], "terminated"),
        truncated=strict.flag(data["truncated"], "truncated"),
        success=strict.flag(data["success"], "success"),
        picture=_fingerprint(data["picture"]),
        usage=strict.numbers(_reported(data.get("usage", {})), "usage", least=0.0),
        refused=_refused(data),
    )


def _reported(usage: object) -> object:
    """Drop the nulls of a usage: an earlier vlm-gym wrote down what a server had not reported."""
    if not isinstance(usage, Mapping):
        return usage
    return {name: value for name, value in usage.items() if value is not None}


def _refused(data: Mapping[str, object]) -> str:
    why = strict.text(data.get("refused", ""), "refused", longest=_LONGEST)
    if why and data["reply"]:
        raise ValueError("a turn has a reply or was refused, not both")
    return why


def _fingerprint(value: object) -> str:
    name = strict.text(value, "picture")
    if not _PICTURE.fullmatch(name):
        raise ValueError(f"picture is {strict.shown(name)}, not 32 hex digits or an empty text")
    return name


def check_turn(line: str) -> None:
    """Raise `ValueError` if a line of JSON is no turn of this version; its state is not read."""
    data = json.loads(line)
    if not isinstance(data, dict) or not {"version", "episode", "state", "reply"} <= data.keys():
        raise ValueError("a line is no turn of vlm-gym")
    if data["version"] != RECORD_VERSION:
        raise ValueError(f"schema version {data['version']!r}; this vlm-gym writes version {RECORD_VERSION}")


TURN_LINES = LineFormat("turns of vlm-gym", b'{"version":', check_turn)
"""What a recording is made of."""


class Recorder(Closing):
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


def read(path: Path) -> Iterator[Turn]:
    """Read the turns of a file, in order. Raises `ValueError` that names the file and the line."""
    for number, line in numbered(path):
        try:
            yield from_line(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def numbered(path: Path, growing: bool = False) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file, packed or not, with their numbers from 1.

    Raises `ValueError` at the end of a file that is half-written, `OSError` where there is no file. The last
    line of a file that is `growing`, as a run writes it, may be half-written and is left out.
    """
    size = path.stat().st_size
    end = 0
    number = 0
    for block in blocks(path):
        end = block.end
        # As bytes: in a text of another writer, U+2028 in a reply would end a line as well.
        for line in block.text.splitlines():
            number += 1
            if len(line) > strict.LONGEST_LINE:
                raise ValueError(f"{path}, line {number}: {TOO_LONG}")
            yield number, line
    if end < size and not (growing and number):
        raise ValueError(f"{path}, after line {number}: the rest is half-written")
