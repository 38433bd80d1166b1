"""Rollouts into a file, which resume where an earlier run of the same command ended."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast, get_args

from vlm_gym.bars import bars, print_line, rate
from vlm_gym.episode import Episode, Split
from vlm_gym.recordings.record import TURN_LINES, Recorder, Turn, from_line
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Policy
from vlm_gym.rollouts.rollout import PARALLEL_EPISODES, rollout
from vlm_gym.storage import blocks, cut_back, locked
from vlm_gym.workers import Pool


def collect(
    path: Path,
    episodes: Sequence[Episode],
    policy: Policy,
    workers: int | Pool = 0,
    parallel_episodes: int = PARALLEL_EPISODES,
) -> None:
    """Play episodes into a file, and show how far it is on standard error.

    Goes on behind the whole episodes of an earlier run; the file is the same as if that had not been stopped.
    Raises `ValueError` if the file holds something else or another command writes to it, `OSError` if the
    disk refuses. However it ends, the file is whole.
    """
    _check_name(path)
    with locked(path):
        _collect(path, episodes, policy, workers, parallel_episodes)


def _collect(
    path: Path, episodes: Sequence[Episode], policy: Policy, workers: int | Pool, parallel_episodes: int
) -> None:
    """Play the episodes that a file lacks into it. Its lock is held."""
    done = resume(path, episodes, policy.name)
    turns = 0
    counts: Counter[str] = Counter()
    with bars("{task.fields[rate]} turns/s") as progress:
        task = progress.add_task(path.name, total=len(episodes), completed=done, rate="-")
        try:
            for count in append(
                path, _counted(rollout(episodes[done:], policy, workers, parallel_episodes), counts)
            ):
                done += 1
                turns += count
                progress.update(task, completed=done, rate=rate(progress, task, turns))
        finally:
            if done < len(episodes):
                message = (
                    f"{path} holds {done} of {len(episodes)} episodes; the same command goes on from there"
                )
                print_line(progress, message)
            for remark, count in counts.items():
                print_line(progress, f"{path}: {count} {remark}")


def _counted(turns: Iterable[Turn], counts: Counter[str]) -> Iterator[Turn]:
    """Yield turns, and count what an endpoint left out of them."""
    for turn in turns:
        if turn.refused:
            counts["episodes end early: the endpoint refused a position"] += 1
        if turn.usage.get("cut"):
            counts["replies were cut at the token limit"] += 1
        yield turn


def addresses(
    games: Sequence[str], perception: str, reasoning: str, split: str, indices: Iterable[int]
) -> list[Episode]:
    """List episodes, games taking turns. Raises `ValueError` for a game, level or split that there is not."""
    for game in games:
        find(game).settle(reasoning)
    look(perception)
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}; splits: {', '.join(get_args(Split))}")
    listed = []
    for index in indices:
        for game in games:
            listed.append(Episode(game, perception, reasoning, cast(Split, split), index))
    return listed


def append(path: Path, turns: Iterable[Turn]) -> Iterator[int]:
    """Append turns to a file, an episode at a time; yield the number of turns of each that is on disk.

    The caller holds the lock of the file.
    """
    with Recorder(path, held=True) as recorder:
        episode: list[Turn] = []
        for turn in turns:
            episode.append(turn)
            if turn.terminated or turn.truncated:
                recorder.write(*episode)
                yield len(episode)
                episode = []


def resume(path: Path, episodes: Sequence[Episode], policy: str) -> int:
    """Count the whole episodes that a file begins with, and cut off the rest.

    Raises `ValueError`, and leaves the file as it is, if they are not the first of `episodes`, were played
    by another policy, or if the file holds something else.
    """
    _check_name(path)
    done = ended = end = 0
    for turn, stop in turns_of(path):
        if ended == len(episodes) or (turn.episode, turn.policy) != (episodes[ended], policy):
            wanted = f"{episodes[ended]} by {policy}" if ended < len(episodes) else "nothing more"
            raise ValueError(
                f"{path} was made by another command: there is {turn.episode} by {turn.policy} "
                f"where this one plays {wanted}; choose another file"
            )
        ended += turn.terminated or turn.truncated
        # Compressed files can be cut only at the ends of their frames, where `stop` is not 0.
        if stop and (turn.terminated or turn.truncated):
            done = ended
            end = stop
    cut_back(path, TURN_LINES, end)
    return done


def _check_name(path: Path) -> None:
    if not path.name.endswith((".jsonl", ".jsonl.zst")):
        raise ValueError(
            f"turns cannot be written to {path}; it takes a name that ends in .jsonl or .jsonl.zst"
        )


def turns_of(path: Path) -> Iterator[tuple[Turn, int]]:
    """Read the turns of a file as far as it is whole, and where it can be cut behind each; 0: nowhere.

    Raises `ValueError` that names the file, if it holds something else.
    """
    for block in blocks(path):
        lines = block.lines
        for remaining, line in zip(reversed(range(len(lines))), lines, strict=True):
            try:
                yield from_line(line), 0 if remaining else block.end
            except ValueError as error:
                raise ValueError(f"{path} cannot be gone on with: {error}") from error
