"""A leaderboard file: the numbers of policies in one file, and the check of such a file.

A digest shows only that a file is as it was written: whoever forges a file writes the digest, too. So all
that can be computed is computed again and compared: the suite from the installed games, the baselines by
playing them again, the numbers of models from their turns. `claims` checks the remaining entries.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

from vlm_gym import strict
from vlm_gym.evaluation.claims import problems_of, suite_of
from vlm_gym.evaluation.evaluate import played_by, versions
from vlm_gym.evaluation.judge import verdicts
from vlm_gym.evaluation.metrics import Tallies, summarise, tallies
from vlm_gym.evaluation.proof import Proof, hash_of, play_again, prove
from vlm_gym.evaluation.run_folder import RESULTS, RUN, TURNS_FILE, folder, renewed
from vlm_gym.evaluation.stats import CONFIDENCE, RESAMPLES, SEED
from vlm_gym.evaluation.suite import Suite
from vlm_gym.recordings.record import read
from vlm_gym.rollouts.baselines import PLAYERS
from vlm_gym.storage import read_json, write_json

FORMAT = "vlm-gym leaderboard 1"

_NONE = (KeyError, TypeError, AttributeError, ValueError, RecursionError)
"""Errors of reading an entry that no version has written."""
_CLOSE = 1.1e-5
"""Relative difference of numbers that counts as none: they are written with six digits."""


def submit(out: Path, path: Path) -> None:
    """Write the file of a finished run. Rows of guests are left out: their turns are not the run's.

    The numbers are computed from the turns. Raises `ValueError` if the run is not complete, a file of it is
    broken, or `path` holds something else than such a file.
    """
    check_place(path)
    run = read_json(out / RUN)
    results = read_json(out / RESULTS)
    try:
        if results["complete"] is not True:
            silent = ", ".join(results["missing"])
            raise ValueError(f"it is not complete: {silent} did not play all episodes")
        titles = {"name": results["suite"]["name"], "about": results["suite"]["about"]}
        suite = suite_of({**titles, **run["suite"]})
        own = dict[str, object](run["policies"])
    except ValueError as error:
        raise ValueError(f"{out}: {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{out}: {RUN} or {RESULTS} is broken: {error!r}") from error
    played: dict[str, Tallies] = {}
    hashes: dict[str, str] = {}
    for policy in own:
        turns = folder(out, policy) / TURNS_FILE
        if not turns.is_file():
            raise ValueError(f"{out} is not complete: {turns} is not there")
        played[policy] = tallies(read(turns), verdicts(turns))
        hashes[policy] = hash_of(turns)
        if list(played[policy]) != played_by(policy, suite.episodes()):
            raise ValueError(f"{turns} does not hold the episodes of the suite, each once and in their order")
    entry = _compose(titles, suite, own, hashes, versions(), played)
    entry["digest"] = _digest(entry)
    try:
        problems = list(problems_of(entry))
    except _NONE as error:
        problems = [_one_line(error)]
    if problems:
        raise ValueError(f"{out}: {RUN} or {RESULTS} is broken: {problems[0]}")
    write_json(path, entry)


def check_place(path: Path) -> None:
    """Raise `ValueError` if a path holds anything but a leaderboard file, which a new one may replace."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        ours = read_json(path).get("format") == FORMAT
    except ValueError:
        ours = False
    if not ours:
        raise ValueError(f"{path} holds something else than a leaderboard file; choose another with --submit")


def _compose(
    titles: Mapping[str, str],
    suite: Suite,
    settings: Mapping[str, object],
    hashes: Mapping[str, str],
    made_with: Mapping[str, str],
    played: Mapping[str, Tallies],
) -> dict[str, object]:
    """Make the content of a file, but for its digest, as JSON holds it."""
    entry = {
        "format": FORMAT,
        "suite": {**titles, "digest": suite.digest, **suite.resolved()},
        "versions": dict(made_with),
        "seeds": {"split": "test", "resampling": SEED, "decoding": suite.decoding.seed},
        "intervals": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED},
        "settings": dict(settings),
        "turns": dict(hashes),
        **summarise(played).plain(),
    }
    plain: dict[str, object] = json.loads(json.dumps(entry))
    return plain


@dataclass(frozen=True)
class Checked:
    """The result of checking a leaderboard file."""

    problems: list[str]
    turns: int
    """Turns of recordings that were played again; 0 if none were given."""
    replayed: list[str]
    """Baselines whose turns were not given. They are always played again."""
    unproved: list[str]
    """Models whose turns were not given, so that their numbers are not checked."""


def check_leaderboard(path: Path, recordings: Sequence[Path] = (), workers: int = 0) -> Checked:
    """Check a leaderboard file: alone, or against recordings (files, or folders of runs) of its policies.

    Raises `ValueError` if it is none, or a recording cannot be read.
    """
    entry = read_json(path)
    if entry.get("format") != FORMAT:
        form = strict.shown(entry.get("format"))
        raise ValueError(f"{path} is no leaderboard file: its format is {form}, not {FORMAT!r}")
    try:
        problems = [*_signature(entry), *problems_of(entry)]
        if problems:
            return Checked(problems, 0, [], [])
        suite = suite_of(entry["suite"])
    except _NONE as error:
        raise ValueError(f"{path} is no leaderboard file of this version: {_one_line(error)}") from error
    return _against(entry, suite, recordings, workers)


def _signature(entry: Mapping[str, object]) -> Iterator[str]:
    signed = dict(entry)
    del signed["digest"]
    if _digest(signed) != entry["digest"]:
        yield "the digest does not fit: the file is not as it was written"


class _Source(NamedTuple):
    """The turns of a policy, and the settings that the file states for it."""

    policy: str
    path: Path | None
    reply_budget: float | None


def _against(entry: Mapping[str, Any], suite: Suite, recordings: Sequence[Path], workers: int) -> Checked:
    """Play everything again, and compare the results with those in the file."""
    problems: list[str] = []
    unproved: list[str] = []
    played: dict[str, Tallies] = {}
    turns = 0
    files = _files(recordings)
    for policy, claimed in entry["turns"].items():
        settings = renewed(entry["settings"][policy])
        assert isinstance(settings, Mapping)  # `problems_of` has checked it
        source = _Source(policy, files.get(policy), settings.get("reply_budget"))
        proof = _prove(source, suite, workers)
        if proof is None:
            unproved.append(policy)
            if recordings:
                problems.append(f"no turns of {policy} are given")
            continue
        if source.path is not None:
            turns += proof.turns
        if source.path is not None and hash_of(source.path) != claimed:
            problems.append(f"{source.path} is not the file of {policy} that the numbers were computed from")
        elif proof.sha256 != claimed:
            problems.append(f"the file of {policy} cannot have this hash: {policy} plays other turns")
        problems += proof.problems
        played[policy] = proof.played
    if not problems:
        titles = {"name": entry["suite"]["name"], "about": entry["suite"]["about"]}
        true = _compose(titles, suite, entry["settings"], entry["turns"], entry["versions"], played)
        # Checked by `claims` already: an earlier version may have spelled it out with fewer knobs.
        true["suite"] = entry["suite"]
        problems += _differences(_about(entry, played), true)
    replayed = list[str]()
    for policy in entry["turns"]:
        if policy in PLAYERS and policy not in files:
            replayed.append(policy)
    return Checked(problems, turns, replayed, unproved)


def _prove(source: _Source, suite: Suite, workers: int) -> Proof | None:
    """Prove the turns of a policy; None for a model whose turns are not given."""
    episodes = played_by(source.policy, suite.episodes())
    if source.policy in PLAYERS:
        return play_again(source.policy, episodes, suite.history, workers, source.path)
    if source.path is None:
        return None
    return prove(source.path, source.policy, episodes, source.reply_budget, workers)


def _about(entry: Mapping[str, Any], played: Mapping[str, Tallies]) -> dict[str, object]:
    """Return the entries of a file for policies that were checked, without its digest."""
    rows = [row for row in entry["policies"] if row["policy"] in played]
    pairs = list[object]()
    for pair in entry["comparisons"]:
        if pair["one"] in played and pair["other"] in played:
            pairs.append(pair)
    claimed = {**entry, "policies": rows, "comparisons": pairs}
    del claimed["digest"]
    return claimed


def _differences(claimed: object, computed: object, key_path: str = "") -> Iterator[str]:
    """Yield the places where the file differs from the computed entries, in presence, type or value."""
    if isinstance(computed, dict) and isinstance(claimed, dict):
        for name in claimed.keys() - computed.keys():
            yield (
                f"{key_path} {name}".strip()
                + f": {strict.shown(claimed[name])} in the file, none from the turns"
            )
        for name in computed:
            yield from _differences(claimed.get(name), computed[name], f"{key_path} {name}")
    elif isinstance(computed, list) and isinstance(claimed, list) and len(claimed) == len(computed):
        for mine, true in zip(claimed, computed, strict=True):
            yield from _differences(mine, true, f"{key_path} {_label(true)}".rstrip())
    elif not _same(claimed, computed):
        yield f"{key_path.strip()}: {_short(claimed)} in the file, {_short(computed)} by the turns"


def _label(row: object) -> str:
    """Name a row of a list by what it is about."""
    if not isinstance(row, dict):
        return ""
    label = list[str]()
    for name in ("policy", "game", "perception", "reasoning", "one", "other", "place", "number"):
        if name in row:
            label.append(row[name])
    return " ".join(label)


def _same(claimed: object, computed: object) -> bool:
    """Compare two values. Counts are equal; estimates were rounded, and may differ in the last digit."""
    if (
        isinstance(computed, float)
        and isinstance(claimed, int | float)
        and not isinstance(claimed, bool)
        and abs(claimed) < sys.float_info.max
    ):
        return isclose(claimed, computed, rel_tol=_CLOSE, abs_tol=1e-9)
    return type(claimed) is type(computed) and bool(claimed == computed)


def _short(value: object) -> str:
    if not isinstance(value, list) or len(value) > 3:
        return strict.shown(value)
    if any(isinstance(entry, list | dict) for entry in value):
        return strict.shown(value)
    return f"[{', '.join(map(strict.shown, value))}]"


def _files(recordings: Sequence[Path]) -> dict[str, Path]:
    """Find the recording of each policy."""
    file_of: dict[str, Path] = {}
    for path in recordings:
        for file in sorted(path.rglob(TURNS_FILE)) if path.is_dir() else [path]:
            other = file_of.setdefault(_policy(file), file)
            if other.resolve() != file.resolve():
                raise ValueError(f"{other} and {file} both hold turns of {_policy(file)}; give one of them")
    if recordings and not file_of:
        raise ValueError(f"{', '.join(map(str, recordings))}: no turns are there")
    return file_of


def _policy(path: Path) -> str:
    """Return who played a recording."""
    for turn in read(path):
        return turn.policy
    raise ValueError(f"{path} holds no turns")


def _one_line(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else repr(error)


def _digest(entry: Mapping[str, object]) -> str:
    return sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
