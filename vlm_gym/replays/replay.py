"""Recordings read again: as episodes to look at, and line by line to prove that the rules made them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode
from vlm_gym.game import State
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Refusal
from vlm_gym.rollouts.record import Turn, blocks, fingerprint, from_line
from vlm_gym.rollouts.rollout import play

TOLD = ("reply", "policy", "usage", "refused")
"""What a line reports and no rule can prove, beyond what follows from it: thoughts, a name, what it took, and
whether an endpoint refused to reply."""

_PROVED = tuple(entry.name for entry in fields_of(Turn) if entry.name not in (*TOLD, "episode", "number"))


@dataclass
class Play:
    """An episode as it was played in the end: turns that a person took back are left out."""

    path: Path
    policy: str
    episode: Episode
    turns: list[Turn] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """The line of each turn in the file, from 1."""
    undone: int = 0
    """Turns that were taken back."""

    @property
    def ended(self) -> bool:
        """Whether it was played to its end."""
        return bool(self.turns) and (self.turns[-1].terminated or self.turns[-1].truncated)


def plays(path: Path) -> list[Play]:
    """Gather the episodes of a file, in the order in which they began.

    A turn whose number is not above the last one's takes back the turns from that number on, as human play
    records it; number 0 after an end begins another play of the same episode. Raises `ValueError` that names
    the line that cannot be read, `OSError` where there is no file.
    """
    found: list[Play] = []
    latest: dict[tuple[str, Episode], Play] = {}
    for number, text in lines(path):
        try:
            turn = from_line(text)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        key = turn.policy, turn.episode
        current = latest.get(key)
        if current is None or (current.ended and turn.number == 0):
            current = latest[key] = Play(path, *key)
            found.append(current)
        if turn.number > len(current.turns):
            missing = f"turn {len(current.turns)} of {turn.episode} by {turn.policy} is missing"
            raise ValueError(f"{path}, line {number}: {missing}")
        current.undone += len(current.turns) - turn.number
        current.turns[turn.number :] = [turn]
        current.lines[turn.number :] = [number]
    if not found:
        raise ValueError(f"{path} holds no turns")
    return found


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a recording with their numbers, from 1.

    Raises `ValueError` at the end of a file that is half-written, `OSError` where there is no file.
    """
    size, end, number = path.stat().st_size, 0, 0
    for block in blocks(path):
        end = block.end
        for text in block.lines:
            number += 1
            yield number, text
    if end < size:
        raise ValueError(f"{path}, after line {number}: the rest is half-written")


class Problem(NamedTuple):
    """A line that the rules do not explain. `line` counts from 1; `field` is "" if it cannot be read."""

    path: Path
    line: int
    field: str
    text: str

    def __str__(self) -> str:
        about = f"{self.field}: " if self.field else ""
        return f"{self.path}, line {self.line}: {about}{self.text}"


class Verified(NamedTuple):
    """What was found in one file."""

    turns: int
    pictures: int
    """Fingerprints compared with a picture drawn again; players without eyes record none."""
    problems: list[Problem]


def verify(path: Path) -> Verified:
    """Play a recording again and name every line that differs from what the rules say.

    Every state must be the episode's deal or follow from the line before, every field but `TOLD` must come
    out again from state and reply, every fingerprint from the picture. A file that is half-written is a
    problem of its last line. Raises `OSError` where there is no file.
    """
    trails: dict[tuple[str, Episode], _Trail] = {}
    turns = pictures = number = 0
    problems: list[Problem] = []
    path.open("rb").close()
    try:
        for number, text in lines(path):
            try:
                turn = _typed(from_line(text))
                trail = trails.setdefault((turn.policy, turn.episode), _Trail())
                found = trail.follow(turn)
            except ValueError as error:
                problems.append(Problem(path, number, "", str(error)))
                continue
            turns, pictures = turns + 1, pictures + bool(turn.picture)
            problems += [Problem(path, number, name, words) for name, words in found.items()]
    except ValueError:
        problems.append(Problem(path, number + 1, "", "half-written or broken from here on"))
    return Verified(turns, pictures, problems)


class _Trail:
    """The states that one episode has really been through, by turn number: an undo goes back along it."""

    def __init__(self) -> None:
        self._reached: list[tuple[State, ...]] = []
        """Before each turn. After a line that contradicts itself, what either half of it leads to."""

    def follow(self, turn: Turn) -> dict[str, str]:
        """Play a turn again; return what is wrong with it, by field."""
        found: dict[str, str] = {}
        run = _run(turn.episode.game, turn.episode.perception, turn.episode.reasoning)
        if not self._reached:
            run.start(turn.episode.seed)
            self._reached.append((run.state,))
        if turn.number >= len(self._reached):
            found["number"] = f"turn {turn.number} where at most turn {len(self._reached) - 1} can follow"
            self._reached += [(turn.state,)] * (turn.number + 1 - len(self._reached))
        expected = self._reached[turn.number]
        before = turn.state if turn.state in expected else expected[0]
        wanted = _again(run, before, turn)
        if "thought" not in turn.rewards:  # recorded before thoughts were graded
            wanted = replace(wanted, rewards={k: v for k, v in wanted.rewards.items() if k != "thought"})
        found |= {
            name: f"{_short(getattr(turn, name))} where the rules give {_short(getattr(wanted, name))}"
            for name in _PROVED
            if getattr(turn, name) != getattr(wanted, name)
        }
        if "action" in found and turn.action is not None and run.game.allows(before, turn.action):
            other = run.game.step(before, turn.action).state
        else:
            other = run.state
        ended = wanted.terminated or wanted.truncated
        self._reached[turn.number + 1 :] = [] if ended and not found else [(run.state, other)]
        return found


def _again(run: Run, state: State, turn: Turn) -> Turn:
    """Play a recorded reply from a state."""
    try:
        run.state = state
        run.turns = turn.number
        picture = fingerprint(run.picture()) if turn.picture else ""
        reply = Refusal(turn.refused) if turn.refused else turn.reply
        return play(run, turn.episode, turn.policy, reply, picture)
    except Exception as error:  # rules may do anything when they meet a state that never was
        raise ValueError(f"cannot be played: {type(error).__name__}: {error}") from error


def _typed(turn: Turn) -> Turn:
    """Check what playing again relies on."""
    given = (turn.number, turn.episode.index, turn.reply, turn.policy, turn.picture, turn.refused)
    if [*map(type, given)] != [int, int, str, str, str, str] or turn.number < 0:
        raise ValueError("number and index are whole numbers; reply, policy, picture and refused are text")
    if turn.refused and turn.reply:
        raise ValueError("a turn has a reply or was refused, not both")
    return turn


@lru_cache(maxsize=32)
def _run(game: str, perception: str, reasoning: str) -> Run:
    rules = find(game)
    return Run(rules, rules.settle(reasoning), look(perception))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
