"""Proofs of turns: by the rules, by the order of an evaluation, and by the time that replies took."""

from collections.abc import Iterator, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import NamedTuple

from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import judge_all
from vlm_gym.evaluation.metrics import Tallies, tallies
from vlm_gym.recordings.record import Turn, numbered, read, to_line
from vlm_gym.replays.replay import verify
from vlm_gym.rollouts.journal import LATE
from vlm_gym.rollouts.policy import MODELS, make
from vlm_gym.rollouts.rollout import rollout


class Proof(NamedTuple):
    """The result of checking the turns of one policy."""

    problems: list[str]
    turns: int
    """How many were played again."""
    sha256: str
    """Of the file that holds them."""
    played: Tallies
    """Empty where there is a problem."""


def prove(
    path: Path, policy: str, episodes: Sequence[Episode], reply_budget: float | None, workers: int
) -> Proof:
    """Play the recording of a model again, and count what comes out.

    The file must hold these episodes in this order, each once, from its first turn to its last. All
    replies of an episode could take `reply_budget` seconds.
    """
    replayed = verify(path)
    problems = list(map(str, replayed.problems))
    if replayed.earlier:
        problems.append(f"{path} holds {replayed.earlier} turns of an earlier version with other rewards")
    if not problems:
        problems += _out_of_order(path, policy, episodes)
    if not problems:
        problems += _conduct(path, reply_budget)
    played = {} if problems else tallies(read(path), judge_all(read(path), workers))
    return Proof(problems, replayed.turns, hash_of(path), played)


def play_again(
    policy: str, episodes: Sequence[Episode], history: int | None, workers: int, path: Path | None
) -> Proof:
    """Play the episodes again with a baseline, which is deterministic, and count the outcomes.

    A recording at `path`, if given, must hold exactly these turns.
    """
    turns = list(rollout(episodes, make(policy), workers, history=history))
    lines = [to_line(turn).encode() for turn in turns]
    digest = sha256()
    for line in lines:
        digest.update(line + b"\n")
    problems = [] if path is None else list(_unlike(path, policy, lines))
    return Proof(problems, len(turns), digest.hexdigest(), tallies(turns, judge_all(turns, workers)))


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _unlike(path: Path, policy: str, lines: Sequence[bytes]) -> Iterator[str]:
    """Name the first line of a file that is not the one that a player would have made."""
    number = 0
    for number, line in numbered(path):
        if number > len(lines) or line != lines[number - 1]:
            yield f"{path}, line {number}: {policy} does not play this"
            return
    if number < len(lines):
        yield f"{path}, after line {number}: {policy} plays {len(lines) - number} more turns"


def _out_of_order(path: Path, policy: str, episodes: Sequence[Episode]) -> Iterator[str]:
    """Name the first turn that an evaluation does not write there, and the episodes that are missing."""
    remaining = iter(episodes)
    expected = next(remaining, None)
    number = 0
    stray = ""
    ended = set[Episode]()
    for line, turn in enumerate(read(path), 1):
        if not stray and (turn.policy, turn.episode, turn.number) != (policy, expected, number):
            stray = f"{path}, line {line}: turn {turn.number} of {turn.episode} by {turn.policy} where "
            stray += (
                f"turn {number} of {expected} by {policy} belongs" if expected else "nothing more belongs"
            )
        number += 1
        if turn.terminated or turn.truncated:
            ended.add(turn.episode)
            expected = next(remaining, None)
            number = 0
    if stray:
        yield stray
    missing = [episode for episode in episodes if episode not in ended]
    if missing:
        yield f"{path} lacks {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")


def _conduct(path: Path, reply_budget: float | None) -> Iterator[str]:
    """Yield the first turn that no model can have had: without a picture, or late against its own times."""
    spent = 0.0
    for line, turn in enumerate(read(path), 1):
        if turn.number == 0:
            spent = 0.0
        if not turn.picture:
            yield f"{path}, line {line}: picture: a model is shown a picture, and none is recorded"
            return
        if turn.refused and not _may_be_refused(turn):
            yield f"{path}, line {line}: refused: no endpoint stands between this policy and its model"
            return
        late = reply_budget is not None and spent >= reply_budget
        # A turn is late if the replies before it took the budget; its own time does not count.
        budget = f"{spent:g} seconds of replies before it, and a budget of {reply_budget}"
        if late != ("late" in turn.usage):
            yield f"{path}, line {line}: usage: {'not ' * late}late, with {budget}"
            return
        if late and (turn.reply, dict(turn.usage)) != (str(LATE), dict(LATE.usage)):
            yield f"{path}, line {line}: a late turn has no reply, and takes nothing"
            return
        spent += turn.usage.get("seconds", 0.0)


def _may_be_refused(turn: Turn) -> bool:
    """Check that a refusal is one of an endpoint. It takes the place of a reply, so it took nothing."""
    provider = turn.policy.partition(":")[0]
    return (provider == "openai" or provider not in MODELS) and not turn.usage
