"""One file that says how good policies are, and what it takes to check that it is true.

The digest shows that a file is as it was written. Whether it is right only the turns can show: they are
played again by the rules, judged again, and counted again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import file_digest, sha256
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

from vlm_gym.episode import Episode
from vlm_gym.evaluation.evaluate import played_by, versions
from vlm_gym.evaluation.judge import judge_all
from vlm_gym.evaluation.metrics import Tallies, summarise, tallies
from vlm_gym.evaluation.runs import RESULTS, RUN, TURNS, folder, read_json, write_json
from vlm_gym.evaluation.suite import Cell, digest_of, episodes_of, resolve
from vlm_gym.replays.replay import verify
from vlm_gym.rollouts.baselines import PLAYERS
from vlm_gym.rollouts.policy import make
from vlm_gym.rollouts.record import read
from vlm_gym.rollouts.rollout import rollout

FORMAT = "vlm-gym leaderboard 1"

_CLOSE = 1e-4
"""Relative difference of numbers that counts as none: they are written with six digits."""


def submit(out: Path, path: Path) -> None:
    """Write the file of a finished run. Rows of guests are left out: their turns are not the run's.

    Raises `ValueError` if the run is not complete.
    """
    run, results = read_json(out / RUN), read_json(out / RESULTS)
    if not results["complete"]:
        raise ValueError(f"{out} is not complete: {', '.join(results['missing'])} did not play all episodes")
    own = run["policies"]
    entry = {
        "format": FORMAT,
        "suite": {**results["suite"], **run["suite"]},
        "versions": versions(),
        "seeds": run["seeds"],
        "intervals": results["intervals"],
        "settings": own,
        "turns": {policy: _hash(folder(out, policy) / TURNS) for policy in own},
        "policies": [row for row in results["policies"] if row["policy"] in own],
        "comparisons": [each for each in results["comparisons"] if {each["one"], each["other"]} <= set(own)],
    }
    write_json(path, {**entry, "digest": _digest(entry)})


class Checked(NamedTuple):
    """What was found out about a leaderboard file."""

    problems: list[str]
    turns: int
    """Turns that were played again; 0 if none were given."""
    replayed: list[str]
    """Players without eyes whose turns were not given, so that they played anew."""


def check(path: Path, recordings: Sequence[Path] = (), workers: int = 0) -> Checked:
    """Check a leaderboard file: alone, or against recordings (files, or folders of runs) of its policies.

    Raises `ValueError` if it is none, or a recording cannot be read.
    """
    entry = read_json(path)
    if entry.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no leaderboard file: its format is {entry.get('format')!r}, not {FORMAT!r}"
        )
    try:
        problems = [*_signature(entry), *_suite(entry["suite"])]
        if not recordings or problems:
            return Checked(problems, 0, [])
        return _against(entry, recordings, workers)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no leaderboard file of this version: {error!r}") from error


def _signature(entry: Mapping[str, Any]) -> Iterator[str]:
    if _digest({name: value for name, value in entry.items() if name != "digest"}) != entry["digest"]:
        yield "the digest does not fit: the file is not as it was written"


def _suite(suite: Mapping[str, Any]) -> Iterator[str]:
    """Check that the suite means here what it meant there."""
    resolved = {name: suite[name] for name in ("cells", "history", "decoding")}
    if digest_of(resolved) != suite["digest"]:
        yield "the digest of the suite does not fit what the suite says"
    for cell in suite["cells"]:
        square = Cell(cell["game"], cell["perception"], cell["reasoning"])
        try:
            same = resolve(square, cell["episodes"]) == cell
        except ValueError as error:
            yield f"{square} cannot be played: {error}"
        else:
            if not same:
                yield f"{square} is another level in this version of vlm-gym"


def _against(entry: Mapping[str, Any], recordings: Sequence[Path], workers: int) -> Checked:
    """Play the turns again, and count what comes out."""
    cells = {Cell(c["game"], c["perception"], c["reasoning"]): c["episodes"] for c in entry["suite"]["cells"]}
    problems, played, replayed, turns = list[str](), dict[str, Tallies](), list[str](), 0
    files = {_policy(path): path for path in _files(recordings)}
    for policy, hashed in entry["turns"].items():
        episodes = played_by(policy, episodes_of(cells))
        if (path := files.get(policy)) is not None:
            if _hash(path) != hashed:
                problems.append(f"{path} is not the file of {policy} that the numbers were computed from")
            proof = verify(path)
            problems += map(str, proof.problems)
            turns += proof.turns
            played[policy] = {} if proof.problems else tallies(read(path), judge_all(read(path), workers))
            problems += _episodes(path, played[policy], episodes) if not proof.problems else ()
        elif policy in PLAYERS:
            replayed.append(policy)
            again = list(rollout(episodes, make(policy), workers, history=entry["suite"]["history"]))
            played[policy] = tallies(again, judge_all(again, workers))
        else:
            problems.append(f"no turns of {policy} are given")
    if not problems:
        problems += _differences(entry, json.loads(json.dumps(summarise(played).plain())))
    return Checked(problems, turns, replayed)


def _episodes(path: Path, played: Tallies, wanted: Sequence[Episode]) -> Iterator[str]:
    for name, episodes in (
        ("lacks", set(wanted) - set(played)),
        ("has too many:", set(played) - set(wanted)),
    ):
        for episode in sorted(episodes, key=str)[:1]:
            yield f"{path} {name} {episode}" + (f" and {len(episodes) - 1} more" if len(episodes) > 1 else "")


def _differences(told: Any, found: Any, place: str = "") -> Iterator[str]:
    """Say where what the file tells is not what was found."""
    if isinstance(found, dict):
        for name in found:
            yield from _differences(
                told.get(name) if isinstance(told, dict) else None, found[name], f"{place} {name}"
            )
    elif isinstance(found, list) and isinstance(told, list) and len(told) == len(found):
        for mine, true in zip(told, found, strict=True):
            yield from _differences(mine, true, f"{place} {_label(true)}".rstrip())
    elif not _same(told, found):
        yield f"{place.strip()}: {told} in the file, {found} by the turns"


def _label(row: Any) -> str:
    """Name a row of a list by what it is about."""
    names = ("policy", "game", "perception", "reasoning", "one", "other", "place", "number")
    return " ".join(row[name] for name in names if name in row) if isinstance(row, dict) else ""


def _same(told: Any, found: Any) -> bool:
    numbers = isinstance(told, int | float) and isinstance(found, int | float)
    return isclose(told, found, rel_tol=_CLOSE, abs_tol=_CLOSE) if numbers else told == found


def _files(recordings: Sequence[Path]) -> list[Path]:
    files = [file for path in recordings for file in (sorted(path.rglob(TURNS)) if path.is_dir() else [path])]
    if not files:
        raise ValueError(f"{', '.join(map(str, recordings))}: no turns are there")
    return files


def _policy(path: Path) -> str:
    """Tell who played a recording."""
    for turn in read(path):
        return turn.policy
    raise ValueError(f"{path} holds no turns")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _digest(entry: Mapping[str, Any]) -> str:
    return sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
