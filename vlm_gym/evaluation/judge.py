"""What went wrong in a turn: attribution of a failure to format, rules, perception, thought or plan.

A verdict follows from the state and the reply alone, but asks the solver. So verdicts of a file of turns are
kept in a file beside it, which is used as long as the turns are the same.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from hashlib import blake2b, file_digest
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from vlm_gym import strict
from vlm_gym.actions import Reply, parse_for
from vlm_gym.game import TOLERANCE, Game, Plan, State
from vlm_gym.recordings.record import Turn, numbered, read
from vlm_gym.registry import find
from vlm_gym.replays.replay import Play, blaming
from vlm_gym.rollouts.reward import perception_accuracy, thinking
from vlm_gym.storage import InUse, dumps, locked
from vlm_gym.thought import Sentence, accuracy
from vlm_gym.workers import Pool, chunks, pool

Kind = Literal["fine", "misformatted", "illegal", "misread", "misthought", "misplanned"]

KINDS: tuple[Kind, ...] = ("fine", "misformatted", "illegal", "misread", "misthought", "misplanned")
"""In the order in which they are checked, except that `fine` is checked last:

- ``misformatted``: no single answer could be read from the reply
- ``illegal``: the answer is no legal action
- ``misread``: the action is bad and the perception is wrong
- ``misthought``: the action is bad and a sentence of the thought is false; the perception is right or absent
- ``misplanned``: the action is bad, without an error in perception or thought
- ``fine``: the action is as good as the solver's, within `TOLERANCE`, whatever the perception
"""

VERDICTS_VERSION = 2
"""Of the verdicts kept beside a file of turns; those of another version are made again."""

VERDICTS = ".verdicts.jsonl"
"""Ending of the names of files of verdicts."""

log = logging.getLogger(__name__)

_CHUNK = 256
"""Turns that a process judges at a time; those of one state mostly come together."""


class Verdict(NamedTuple):
    """One turn judged."""

    kind: Kind
    perception: float | None
    """Share of cells read rightly; None if the reply has no perception."""
    exact: bool
    """Whether every cell was read rightly."""
    best: str
    """The solver's action, "" without a solver."""
    lost: float
    """Value lost by the action, as the solver judges it: 0 without a solver, 1 without an action."""
    thought: float | None = None
    """Share of true sentences among those of the thought that can be checked; None if there are none."""

    @property
    def good(self) -> bool:
        """Whether the action was as good as the solver's: reasoning accuracy counts these."""
        return self.kind == "fine"


class Unjudged(ValueError):
    """The rules or the solver fail on a state."""


def judge(turn: Turn) -> Verdict:
    """Judge a recorded turn from its state and its reply alone.

    Raises `Unjudged` for a state to which the rules cannot have led.
    """
    game = find(turn.episode.game)
    try:
        return weigh(game, turn.state, parse_for(game, turn.state, turn.reply))
    except Exception as error:  # rules and solver may raise any error on an unreachable state
        reason = f"{type(error).__name__}: {strict.shown(str(error))}"
        raise Unjudged(f"turn {turn.number} of {turn.episode} cannot be judged: {reason}") from error


def judge_play(play: Play) -> list[Verdict]:
    """Judge the turns of an episode. Raises `ValueError` that names the line of one that cannot be judged."""
    verdicts = []
    for number, turn in enumerate(play.turns):
        with blaming(play, number):
            verdicts.append(judge(turn))
    return verdicts


def weigh(game: Game, state: State, reply: Reply, sentences: tuple[Sentence, ...] | None = None) -> Verdict:
    """Judge a reply to a state. `sentences` are those of its thought, where they are graded already."""
    perception = perception_accuracy(game, state, reply)
    thought = accuracy(thinking(game, state, reply) if sentences is None else sentences)
    exact = perception == 1.0
    plan = _plan(game, state)
    best = plan.action if plan else ""
    if reply.action is None:
        kind: Kind = "misformatted" if reply.fault == "format" else "illegal"
        return Verdict(kind, perception, exact, best, 1.0, thought)
    lost = 0.0
    if plan and reply.action != best:
        lost = max(0.0, plan.value - _value(game, state, reply.action))
    if lost <= TOLERANCE:
        return Verdict("fine", perception, exact, best, lost, thought)
    if perception is not None and not exact:
        kind = "misread"
    elif thought is not None and thought < 1.0:
        kind = "misthought"
    else:
        kind = "misplanned"
    return Verdict(kind, perception, exact, best, lost, thought)


def judge_all(turns: Iterable[Turn], workers: int | Pool = 0) -> Iterator[Verdict]:
    """Judge turns in order, in so many processes."""
    crew = pool(workers)
    for verdicts in (crew.map if crew else map)(_judge_chunk, chunks(turns, _CHUNK, _name)):
        yield from verdicts


def verdicts(path: Path, workers: int | Pool = 0) -> Iterator[Verdict]:
    """Judge the turns of a file in order, and keep the verdicts beside it for the next time.

    A judging that was stopped is resumed. Verdicts that were changed are made again, and the log reports
    it. Where no file can be kept, because another command judges the same turns, the folder cannot be
    written to, or a foreign file has the name, the verdicts are not kept. Raises `ValueError` that names
    the line, if a turn cannot be read or judged; then nothing is left beside the file.
    """
    judged = _digest(path)
    kept = beside(path)
    known = _known(kept, judged)
    if known is not None:
        yield from known
        return
    if next(read(path), None) is None:  # no file of verdicts for an empty recording
        return
    try:
        with ExitStack() as stack:
            if _may_keep(kept, stack):
                yield from _judge_and_keep(path, kept, judged, workers)
            else:
                yield from judge_all(read(path), workers)
    except Unjudged as error:
        raise _first_unjudged(path, error) from error


def _may_keep(kept: Path, stack: ExitStack) -> bool:
    """Take the lock of a file of verdicts. Return whether the file may be written."""
    try:
        stack.enter_context(locked(kept))
    except (InUse, OSError):
        return False
    return is_verdicts(kept) or not kept.exists()


def _judge_and_keep(path: Path, kept: Path, judged: str, workers: int | Pool) -> Iterator[Verdict]:
    """Judge the turns that no earlier command has judged, and keep all verdicts. The lock is held."""
    aside = kept.with_name(f"{kept.name}.part")  # of a judging that was stopped, if it is there
    begun = _begun(aside, judged)
    yield from begun
    digest = blake2b(digest_size=16)
    with aside.open("wb") as file:
        file.write(_heading(judged))
        for verdict in begun:
            digest.update(line := f"{dumps(verdict)}\n".encode())
            file.write(line)
        try:
            for verdict in judge_all(islice(read(path), len(begun), None), workers):
                digest.update(line := f"{dumps(verdict)}\n".encode())
                file.write(line)
                yield verdict
        except ValueError:
            aside.unlink()
            raise
        # Has the length of the heading that it replaces, which marks the verdicts as incomplete.
        file.seek(0)
        file.write(_heading(judged, digest.hexdigest()))
    aside.replace(kept)


def _heading(judged: str, digest: str = "0" * 32) -> bytes:
    """Return the first line of a file of verdicts: on which turns they are, and what all of them hash to."""
    entries = {"judged": judged, "tolerance": TOLERANCE, "version": VERDICTS_VERSION, "digest": digest}
    return f"{dumps(entries)}\n".encode()


def _first_unjudged(path: Path, error: Unjudged) -> ValueError:
    """Name the line of the first turn that cannot be judged: processes do not report it in order."""
    for number, turn in enumerate(read(path), 1):
        try:
            judge(turn)
        except Unjudged as first:
            return ValueError(f"{path}, line {number}: {first}")
    return error


def is_verdicts(path: Path) -> bool:
    """Check whether a file keeps verdicts, on whatever turns."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(1024).startswith(b'{"judged":')


def _known(path: Path, judged: str) -> list[Verdict] | None:
    """Read a whole file of verdicts; None if there is none, or if it is on other turns or was changed."""
    if not path.exists():
        return None
    verdicts: list[Verdict] = []
    heading = b""
    digest = blake2b(digest_size=16)
    number = 0
    try:
        for number, line in numbered(path):
            if number == 1:
                heading = line + b"\n"
                if not heading.startswith(_heading(judged).partition(b',"digest"')[0]):
                    return None
            else:
                digest.update(line + b"\n")
                verdicts.append(_verdict(line))
        if heading != _heading(judged, digest.hexdigest()):
            raise ValueError("the digest in its first line does not fit the others")
    except ValueError as error:
        log.warning("%s, line %d: not as it was written (%s); judging again", path, number, error)
        return None
    return verdicts


def _begun(path: Path, judged: str) -> list[Verdict]:
    """Read the verdicts of a judging that was stopped, as far as they are whole."""
    verdicts: list[Verdict] = []
    if not path.exists():
        return verdicts
    try:
        for number, line in numbered(path):
            if number == 1 and line + b"\n" != _heading(judged):
                return verdicts
            if number > 1:
                verdicts.append(_verdict(line))
    except ValueError as error:
        log.info("%s holds %d verdicts that are whole: %s", path, len(verdicts), error)
    return verdicts


def _verdict(line: bytes) -> Verdict:
    """Read a verdict. Raises `ValueError` for what is none."""
    entries = strict.parse(line)
    if not isinstance(entries, list) or len(entries) != len(Verdict._fields):
        raise ValueError(f"{strict.shown(entries)} is no verdict")
    kind, perception, exact, best, lost, thought = entries
    if kind not in KINDS:
        raise ValueError(f"kind is {strict.shown(kind)}; it takes {', '.join(KINDS)}")
    verdict = Verdict(
        kind,
        None if perception is None else strict.number(perception, "perception", 0.0),
        strict.flag(exact, "exact"),
        strict.text(best, "best"),
        strict.number(lost, "lost", 0.0),
        None if thought is None else strict.number(thought, "thought", 0.0),
    )
    if verdict.exact != (perception == 1.0) or verdict.good != (verdict.lost <= TOLERANCE):
        raise ValueError(f"{strict.shown(line.decode())} contradicts itself")
    return verdict


def beside(path: Path) -> Path:
    """Name the file that keeps the verdicts on a file of turns."""
    return path.with_name(f"{path.name.removesuffix('.jsonl')}{VERDICTS}")


def _name(chunk: Sequence[Turn]) -> str:
    return f"{len(chunk)} turns from number {chunk[0].number} of {chunk[0].episode}"


def _judge_chunk(turns: Sequence[Turn]) -> list[Verdict]:
    return list(map(judge, turns))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "blake2b").hexdigest()[:32]


@lru_cache(maxsize=4096)
def _plan(game: Game, state: State) -> Plan | None:
    """Solve a state. The result is cached, since several turns or policies meet the same state."""
    return game.solve(state)


@lru_cache(maxsize=4096)
def _value(game: Game, state: State, action: str) -> float:
    return game.value(state, action)
