"""Recordings beside the policies of a run: people, or policies of other runs, on the same episodes."""

from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import judge_play
from vlm_gym.evaluation.metrics import Tallies, Tally, tally
from vlm_gym.evaluation.run_folder import TURNS_FILE
from vlm_gym.replays.replay import plays
from vlm_gym.storage import bare_name


class ExternalRecording(NamedTuple):
    """A policy or a person with episodes of the suite, from a recording."""

    policy: str
    path: Path
    played: Tallies

    def name(self, taken: Collection[str]) -> str:
        """Name the guest's row, if others have these names."""
        names = (self.policy, f"{self.policy} ({bare_name(self.path)})", f"{self.policy} ({self.path})")
        for name in names[:-1]:
            if name not in taken:
                return name
        return names[-1]


def invite(paths: Sequence[Path], episodes: Sequence[Episode]) -> tuple[list[ExternalRecording], list[str]]:
    """Read recordings, and folders of runs, as far as they are whole episodes of these; note the others.

    Of an episode that was played twice, the first time counts. Raises `ValueError` for a recording that holds
    none of the episodes, `OSError` if there is no file.
    """
    guests: list[ExternalRecording] = []
    notes: list[str] = []
    wanted = set(episodes)
    for path in {path.resolve(): path for path in paths}.values():
        rows: dict[str, dict[Episode, Tally]] = {}
        strange = unfinished = undone = 0
        for play in chain.from_iterable(map(plays, _files(path))):
            if play.episode not in wanted:
                strange += 1
            elif not play.ended:
                unfinished += 1
            elif play.episode not in (row := rows.setdefault(play.policy, {})):
                row[play.episode] = tally(play.turns, judge_play(play))
                undone += play.undone
        if not rows:
            raise ValueError(f"{path} holds no episode of this suite that was played to its end")
        for policy, row in rows.items():
            guests.append(ExternalRecording(policy, path, row))
        left_out = {"of another suite": strange, "not played to their end": unfinished}
        for why, count in left_out.items():
            if count:
                notes.append(f"{path}: {count} episodes {why} are left out")
        if undone:
            notes.append(f"{path}: {undone} turns had been taken back")
    return guests, notes


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob(TURNS_FILE)) if path.is_dir() else [path]
