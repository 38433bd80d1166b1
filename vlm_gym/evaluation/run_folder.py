"""A run's folder: fixed settings, one writer at a time, and a file of turns for each policy."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.recordings.record import TURN_LINES, from_line
from vlm_gym.rollouts.collect import turns_of
from vlm_gym.storage import cut_back, difference, locked_folder, read_json, whole, write_json

TURNS_FILE = "turns.jsonl"
"""A policy's turns, in a folder of its own."""
JOURNAL = "replies.jsonl"
"""A model's replies, as long as its turns are not all there."""
RUN = "run.json"
RESULTS = "results.json"


class HowPlayed(TypedDict, total=False):
    """How a policy plays, as ``run.json`` says; nothing for a baseline."""

    decoding: dict[str, object]
    reply_budget: float | None
    files: str | None


def renewed(how: object) -> object:
    """Return how a policy plays, as a file of an earlier version has it, with today's keys."""
    if not isinstance(how, Mapping) or "patience" not in how or "reply_budget" in how:
        return how
    return {"reply_budget" if key == "patience" else key: value for key, value in how.items()}


@contextmanager
def opened(
    out: Path, settings: Mapping[str, object], commands: Sequence[str] = ()
) -> Iterator[dict[str, HowPlayed]]:
    """Open a folder for a run of these settings, save them, and yield the policies of all its commands.

    The entry ``policies`` of the settings may grow from one command to the next. Policies that have not
    played a turn are dropped from it; the settings of the others may not change. Raises `ValueError` if they
    differ from those of an earlier command, or if the folder is in use.
    """
    with locked_folder(out):
        # Through JSON, so that tuples compare equal to the lists of the file.
        run = {**json.loads(json.dumps(settings)), "commands": list(commands)}
        if (out / RUN).exists():
            before = read_json(out / RUN)
            _check_run(out / RUN, before)
            kept = dict[str, object]()
            for name, how in before["policies"].items():
                if _played(out, name):
                    kept[name] = renewed(how)
            before["policies"] = kept
            for key in settings:
                if changed := difference(before.get(key), run[key], key, grows=key == "policies"):
                    raise ValueError(f"{out} was made with other settings: {changed}; choose another folder")
            run["policies"] = {**before["policies"], **run["policies"]}
            run["commands"] = list(dict.fromkeys([*before["commands"], *commands]))
        elif (out / RESULTS).exists():
            raise ValueError(f"{out / RESULTS} is of no run that is here; choose another folder")
        _check_folders(out, run["policies"])
        write_json(out / RUN, run)
        yield run["policies"]


def _check_run(path: Path, run: Mapping[str, object]) -> None:
    """Raise `ValueError` if what a file holds is not what `opened` writes."""
    policies = run.get("policies")
    commands = run.get("commands")
    if not isinstance(policies, dict) or not isinstance(commands, list):
        raise ValueError(f"{path} is no evaluation's; choose another folder")
    for name, how in policies.items():
        if not isinstance(how, dict) or not isinstance(how.get("decoding", {}), dict):
            raise ValueError(f"{path} is broken: policies.{name} is {strict.shown(how)}")
    for command in commands:
        strict.text(command, f"{path} is broken: a command")


def _check_folders(out: Path, policies: Iterable[str]) -> None:
    """Raise `ValueError` if two policies have one folder, or two that some file systems do not tell apart."""
    owner: dict[str, str] = {}
    for policy in policies:
        # Some file systems ignore case.
        other = owner.setdefault(folder(out, policy).name.casefold(), policy)
        if other != policy:
            raise ValueError(
                f"{other} and {policy} have one folder, {folder(out, policy)}: play one of them elsewhere"
            )


def folder(out: Path, policy: str) -> Path:
    """Name the folder of a policy: ``hf:runs/quick/model`` is in ``hf-runs-quick-model``."""
    return out / re.sub(r"[^\w.-]+", "-", policy).strip(".-")


def finished(path: Path, episodes: Sequence[Episode], policy: str) -> dict[Episode, int]:
    """Find the whole episodes of a file, with their numbers of turns, and cut off what follows them.

    Raises `ValueError`, and leaves the file as it is, if it holds anything but `episodes` by this policy.
    """
    remaining = set(episodes)
    done = dict[Episode, int]()
    count = 0
    end = 0
    for turn, stop in turns_of(path):
        if turn.policy != policy or turn.episode not in remaining:
            raise ValueError(
                f"{path} was made by another command: {turn.episode} by {turn.policy} is not to be played, "
                "or is there twice; choose another folder"
            )
        count += 1
        if turn.terminated or turn.truncated:
            remaining.remove(turn.episode)
            done[turn.episode] = count
            count = 0
            end = stop
    cut_back(path, TURN_LINES, end)
    return done


def put_in_order(path: Path, order: Sequence[Episode], episodes: Sequence[Episode]) -> None:
    """Sort the episodes of a file whose lock is held; `order` lists them as they stand in it."""
    rank = {episode: number for number, episode in enumerate(episodes)}
    wanted = sorted(order, key=rank.__getitem__)
    if wanted == list(order):
        return
    lines: dict[Episode, list[bytes]] = {}
    with path.open("rb") as file:
        for line in file:
            lines.setdefault(from_line(line.decode()).episode, []).append(line)
    with whole(path, held=True) as aside:
        ordered = list[bytes]()
        for episode in wanted:
            ordered += lines[episode]
        aside.write_bytes(b"".join(ordered))


def _played(out: Path, policy: str) -> bool:
    """Return whether a recording or a journal of a policy is on disk and not empty."""
    for name in (TURNS_FILE, JOURNAL):
        file = folder(out, policy) / name
        if file.exists() and file.stat().st_size:
            return True
    return False
