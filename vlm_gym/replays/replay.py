"""Recordings read again: as episodes to look at, and line by line to prove that the rules made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from vlm_gym import strict
from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode, deal
from vlm_gym.game import GameKnobs, State
from vlm_gym.recordings.record import Turn, fingerprint, from_line, numbered
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Refusal
from vlm_gym.rollouts.rollout import play_reply

REPORTED = ("reply", "policy", "usage", "refused")
"""Fields that no rule can prove: the reply, the policy's name, tokens and seconds, and the refusal of an
endpoint. What follows from the reply is proved."""

PERSON = "human"
"""The policy of human play, the only one that can take turns back."""

_PROVED = tuple(entry.name for entry in fields_of(Turn) if entry.name not in (*REPORTED, "episode", "number"))


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

    In human play, a turn whose number is not above the last one's takes back the turns from that number on.
    No other policy can take a turn back. Number 0 after an end begins another play of the same episode.
    Raises `ValueError` that names the line that cannot be read or does not belong there, `OSError` where
    there is no file.
    """
    episodes: list[Play] = []
    latest: dict[tuple[str, Episode], Play] = {}
    for number, line in numbered(path):
        try:
            turn = from_line(line)
            key = turn.policy, turn.episode
            current = latest.get(key)
            if current is None or (current.ended and turn.number == 0):
                current = latest[key] = Play(path, *key)
                episodes.append(current)
            _check_order(current, turn)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        current.undone += len(current.turns) - turn.number
        current.turns[turn.number :] = [turn]
        current.lines[turn.number :] = [number]
    if not episodes:
        raise ValueError(f"{path} holds no turns")
    return episodes


@contextmanager
def blaming(play: Play, turn: int) -> Iterator[None]:
    """Name the line of a turn, counted from 0, in a `ValueError` for whatever the rules raise about it."""
    try:
        yield
    except Exception as error:  # rules may raise any error on an unreachable state
        reason = f"{type(error).__name__}: {strict.shown(str(error))}"
        raise ValueError(
            f"{play.path}, line {play.lines[turn]}: the rules fail on this state: {reason}"
        ) from error


def _check_order(play: Play, turn: Turn) -> None:
    """Raise `ValueError` if a turn cannot follow the turns that an episode has had so far."""
    reached = len(play.turns)
    if turn.number > reached:
        raise ValueError(f"turn {reached} of {turn.episode} by {turn.policy} is missing")
    if turn.number < reached and turn.policy != PERSON:
        raise ValueError(
            f"turn {turn.number} of {turn.episode} by {turn.policy} is there twice; only a person can take "
            "turns back"
        )
    first = play.turns[0].state if play.turns else turn.state
    if (turn.state.knobs, turn.state.seed) != (first.knobs, first.seed):
        raise ValueError(f"turn {turn.number} of {turn.episode} is of another deal than the turns before")


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
    """Fingerprints compared with a picture drawn again. Baselines record none."""
    problems: list[Problem]
    earlier: int = 0
    """Turns of an earlier version, played again by the knobs that they record."""


def verify(path: Path) -> Verified:
    """Play a recording again and name every line that differs from what the rules say.

    Every state must be the episode's deal or follow from the line before. Every field but `REPORTED` must
    follow from state and reply, and every fingerprint from the picture. A file that is half-written is a
    problem of its last line, and so is a file without a line. Raises `OSError` where there is no file.
    """
    trails: dict[tuple[str, Episode], _Trail] = {}
    turns = 0
    pictures = 0
    number = 0
    earlier = 0
    problems: list[Problem] = []
    path.open("rb").close()
    try:
        for number, line in numbered(path):
            try:
                turn = from_line(line)
                trail = trails.setdefault((turn.policy, turn.episode), _Trail())
                differences = trail.follow(turn)
            except ValueError as error:
                problems.append(Problem(path, number, "", str(error)))
                continue
            turns += 1
            pictures += bool(turn.picture)
            earlier += is_earlier(turn)
            for name, text in differences.items():
                problems.append(Problem(path, number, name, text))
    except ValueError as error:
        problems.append(Problem(path, number + 1, "", f"half-written or broken from here on: {error}"))
    if not number and not problems:
        problems.append(Problem(path, 1, "", "the file holds no turns"))
    return Verified(turns, pictures, problems, earlier)


class _Trail:
    """The states of one episode by turn number. An undo returns to an earlier one."""

    def __init__(self) -> None:
        self._reached: dict[int, tuple[State, ...]] = {}
        """Before each turn, in order of turns. After a line that contradicts itself, what either half of it
        leads to."""
        self._ended = False

    def follow(self, turn: Turn) -> dict[str, str]:
        """Play a turn again; return what is wrong with it, by field."""
        differences: dict[str, str] = {}
        episode = turn.episode
        game = find(episode.game)
        knobs = turn.state.knobs if is_earlier(turn) else game.settle(episode.reasoning)
        run = _run(episode.game, episode.perception, knobs)
        if not self._reached:
            run.start(deal(game, knobs, episode.split, episode.index))
            self._reached[0] = (run.state,)
        last = next(reversed(self._reached))
        following = 0 if self._ended else last
        if turn.number > last:
            differences["number"] = f"turn {turn.number} where at most turn {last} can follow"
            self._reached[turn.number] = (turn.state,)
        elif turn.number != following and turn.policy != PERSON:
            differences["number"] = (
                f"turn {turn.number} where turn {following} follows; only a person takes turns back"
            )
        expected = self._reached.get(turn.number, (turn.state,))
        before = turn.state if turn.state in expected else expected[0]
        wanted = _again(run, before, turn)
        if "thought" not in turn.rewards:  # recorded before thoughts were graded
            rewards = dict(wanted.rewards)
            rewards.pop("thought", None)
            wanted = replace(wanted, rewards=rewards)
        for name in _PROVED:
            recorded = getattr(turn, name)
            computed = getattr(wanted, name)
            if recorded != computed:
                differences[name] = f"{_short(recorded)} where the rules give {_short(computed)}"
        if "action" in differences and turn.action is not None and run.game.allows(before, turn.action):
            other = run.game.step(before, turn.action).state
        else:
            other = run.state
        while next(reversed(self._reached)) > turn.number:
            self._reached.popitem()
        self._ended = wanted.terminated or wanted.truncated
        if differences or not self._ended:
            self._reached[turn.number + 1] = (run.state, other)
        return differences


def _again(run: Run, state: State, turn: Turn) -> Turn:
    """Play a recorded reply from a state."""
    try:
        run.state = state
        run.turns = turn.number
        picture = fingerprint(run.picture()) if turn.picture else ""
        reply = Refusal(turn.refused) if turn.refused else turn.reply
        return play_reply(run, turn.episode, turn.policy, reply, picture)
    except Exception as error:  # rules may raise any error on an unreachable state
        raise ValueError(f"cannot be played: {type(error).__name__}: {error}") from error


def is_earlier(turn: Turn) -> bool:
    """Check whether a turn was recorded when levels paid the reward ``progress``.

    Its level may have had other knobs then, so the knobs of its state are what it was played by.
    """
    level = find(turn.episode.game).settle(turn.episode.reasoning)
    return turn.state.knobs.reward == "progress" and level.reward != "progress"


@lru_cache(maxsize=32)
def _run(game: str, perception: str, knobs: GameKnobs) -> Run:
    return Run(find(game), knobs, look(perception))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
