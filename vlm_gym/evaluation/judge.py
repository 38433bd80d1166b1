"""What went wrong in a turn: attribution of a failure to format, rules, perception, thought or plan.

A verdict follows from the state and the reply alone, but asks the solver. So verdicts of a file of turns are
kept in a file beside it, which is used as long as the turns are the same.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vlm_gym.actions import Reply, parse_for
from vlm_gym.game import TOLERANCE, Game, Plan, State
from vlm_gym.registry import find
from vlm_gym.rollouts.record import Turn, dumps, read
from vlm_gym.rollouts.reward import sight, thinking
from vlm_gym.thought import accuracy
from vlm_gym.workers import Pool, pool

Kind = Literal["fine", "misformatted", "illegal", "misread", "misthought", "misplanned"]

KINDS: tuple[Kind, ...] = ("fine", "misformatted", "illegal", "misread", "misthought", "misplanned")
"""In the order in which they are looked for, `fine` being what is left:

- ``misformatted``: no single answer could be read from the reply
- ``illegal``: the answer is no legal action
- ``misread``: the action is bad, and the perception was wrong: a sight that mattered
- ``misthought``: the action is bad and a sentence of the thought is false, though the perception was right
  or was not told
- ``misplanned``: the action is bad, though nothing that was told is wrong
- ``fine``: the action is as good as the solver's, within `TOLERANCE`, whatever was seen
"""

VERSION = 2
"""Of the verdicts kept beside a file of turns; those of another version are made again."""

_CHUNK = 256
"""Turns that a process judges at a time; those of one state mostly come together."""


class Verdict(NamedTuple):
    """One turn judged."""

    kind: Kind
    perception: float | None
    """Share of cells read rightly; None if the reply told no perception."""
    exact: bool
    """Whether every cell was read rightly."""
    best: str
    """The solver's action, "" without a solver."""
    lost: float
    """Value that the solver sees lost by the action; 0 without a solver, 1 for a turn without an action."""
    thought: float | None = None
    """Share of true sentences among those of the thought that can be checked; None if there are none."""

    @property
    def good(self) -> bool:
        """Whether the action was as good as the solver's: reasoning accuracy counts these."""
        return self.kind == "fine"


def judge(turn: Turn) -> Verdict:
    """Judge a recorded turn from its state and its reply alone."""
    game = find(turn.episode.game)
    return weigh(game, turn.state, parse_for(game, turn.state, turn.reply))


def weigh(game: Game[Any], state: State, reply: Reply) -> Verdict:
    """Judge a reply to a state."""
    perception = sight(game, state, reply)
    thought = accuracy(thinking(game, state, reply))
    exact, plan = perception == 1.0, _plan(game, state)
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
    waiting, crew = iter(turns), pool(workers)
    chunks = iter(lambda: _Chunk(islice(waiting, _CHUNK)), _Chunk())
    for verdicts in (crew.map if crew else map)(_judge_chunk, chunks):
        yield from verdicts


def verdicts(path: Path, workers: int | Pool = 0) -> Iterator[Verdict]:
    """Judge the turns of a file in order, and keep the verdicts beside it for the next time.

    What was stopped on its way goes on there. Raises `ValueError` that names the line, if one cannot be read.
    """
    kept, heading = beside(path), dumps({"judged": _digest(path), "tolerance": TOLERANCE, "version": VERSION})
    aside = kept.with_name(f"{kept.name}.part")
    known = _known(kept, heading)
    if known is not None:
        yield from known
        return
    known = _known(aside, heading) or []
    yield from known
    with aside.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (heading, *map(dumps, known)))
        for verdict in judge_all(islice(read(path), len(known), None), workers):
            file.write(f"{dumps(verdict)}\n")
            yield verdict
    aside.replace(kept)


def _known(path: Path, heading: str) -> list[Verdict] | None:
    """Read verdicts as far as they are whole; None if they are not there, or on other turns."""
    if not path.exists():
        return None
    first, *lines = path.read_text(encoding="utf-8").split("\n")[:-1] or [""]
    return [Verdict(*json.loads(line)) for line in lines] if first == heading else None


def beside(path: Path) -> Path:
    """Name the file that keeps the verdicts on a file of turns."""
    return path.with_name(f"{path.name.removesuffix('.zst').removesuffix('.jsonl')}.verdicts.jsonl")


class _Chunk(tuple[Turn, ...]):
    """Turns for one process at a time."""

    def __str__(self) -> str:
        return f"{len(self)} turns from number {self[0].number} of {self[0].episode}"


def _judge_chunk(turns: Sequence[Turn]) -> list[Verdict]:
    return [judge(turn) for turn in turns]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "blake2b").hexdigest()[:32]


@lru_cache(maxsize=4096)
def _plan(game: Game[Any], state: State) -> Plan | None:
    """Ask the solver once for a state that several turns or policies met."""
    return game.solve(state)


@lru_cache(maxsize=4096)
def _value(game: Game[Any], state: State, action: str) -> float:
    return game.value(state, action)
