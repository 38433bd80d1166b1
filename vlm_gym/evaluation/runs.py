"""A run's folder: settings that are kept to, one writer at a time, and a file of turns for each policy."""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.rollouts.collect import turns_of
from vlm_gym.rollouts.record import from_line

TURNS = "turns.jsonl"
"""A policy's turns, in a folder of its own."""
JOURNAL = "replies.jsonl"
"""A model's replies, as long as its turns are not all there."""
RUN, RESULTS = "run.json", "results.json"


@contextmanager
def alone(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if need be.

    If one is in there, wait for it to leave, or raise `ValueError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ValueError(f"{folder} is in use by another run") from error
        yield
    finally:
        os.close(place)


@contextmanager
def opened(out: Path, settings: Mapping[str, Any], commands: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Open a folder for a run of these settings, write them down, and give the policies of all its commands.

    The entry ``policies`` of the settings may grow from one command to the next, and forgets those that have
    not played a turn; the others are kept to. Raises `ValueError` if they differ from those of an earlier
    command, or if the folder is in use.
    """
    with alone(out):
        run = {**json.loads(json.dumps(settings)), "commands": list(commands)}
        if (out / RUN).exists():
            before = read_json(out / RUN)
            before["policies"] = {name: how for name, how in before["policies"].items() if _played(out, name)}
            for key in settings:
                if words := difference(before.get(key), run[key], key, grows=key == "policies"):
                    raise ValueError(f"{out} was made with other settings: {words}; choose another folder")
            run["policies"] = {**before["policies"], **run["policies"]}
            if len({folder(out, policy) for policy in run["policies"]}) < len(run["policies"]):
                raise ValueError(
                    f"{out} has one folder for two of {', '.join(run['policies'])}; choose another"
                )
            run["commands"] = list(dict.fromkeys([*before["commands"], *commands]))
        write_json(out / RUN, run)
        yield run["policies"]


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a file. Raises `ValueError` that names a broken one, `OSError` without one."""
    if path.is_file() and path.stat().st_size > strict.FILE:
        raise ValueError(f"{path} is broken: it is larger than {strict.FILE >> 20} MiB")
    try:
        data = strict.parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is broken: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is broken: it holds no object")
    return data


def write_json(path: Path, data: Any) -> None:
    """Write a file, whole or not at all."""
    aside = path.with_name(f"{path.name}.part")
    aside.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


def folder(out: Path, policy: str) -> Path:
    """Name the folder of a policy: ``hf:runs/quick/model`` lives in ``hf-runs-quick-model``."""
    return out / re.sub(r"[^\w.-]+", "-", policy).strip(".-")


def finished(path: Path, episodes: Sequence[Episode], policy: str) -> dict[Episode, int]:
    """Find the whole episodes of a file, with their numbers of turns, and cut off what follows them.

    Raises `ValueError`, and leaves the file as it is, if it holds anything but `episodes` by this policy.
    """
    left, done, count, end = set(episodes), dict[Episode, int](), 0, 0
    for turn, stop in turns_of(path):
        if turn.policy != policy or turn.episode not in left:
            raise ValueError(
                f"{path} was made by another command: {turn.episode} by {turn.policy} is not to be played, "
                "or is there twice; choose another folder"
            )
        count += 1
        if turn.terminated or turn.truncated:
            left.remove(turn.episode)
            done[turn.episode], count, end = count, 0, stop
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(end)
    return done


def put_in_order(path: Path, found: Sequence[Episode], episodes: Sequence[Episode]) -> None:
    """Sort the episodes of a file; `found` lists them as they stand in it."""
    place = {episode: number for number, episode in enumerate(episodes)}
    wanted = sorted(found, key=place.__getitem__)
    if wanted == list(found):
        return
    lines: dict[Episode, list[bytes]] = {}
    with path.open("rb") as file:
        for line in file:
            lines.setdefault(from_line(line.decode()).episode, []).append(line)
    aside = path.with_name(f"{path.name}.part")
    aside.write_bytes(b"".join(b"".join(lines[episode]) for episode in wanted))
    aside.replace(path)


def _played(out: Path, policy: str) -> bool:
    """Tell whether anything of a policy is on disk."""
    files = (folder(out, policy) / name for name in (TURNS, JOURNAL))
    return any(file.exists() and file.stat().st_size for file in files)


def difference(old: Any, new: Any, place: str, grows: bool = False) -> str:
    """Say in words where two settings differ first, "" if they do not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() & new.keys() if grows else old | new):
            if words := difference(old.get(key), new.get(key), f"{place}.{key}"):
                return words
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (difference(*pair, f"{place}[{at}]") for at, pair in pairs)), "")
    if isinstance(old, list) and isinstance(new, list):
        return f"{place} has {len(old)} entries there and {len(new)} here"
    return "" if old == new else f"{place} is {old!r} there and {new!r} here"
