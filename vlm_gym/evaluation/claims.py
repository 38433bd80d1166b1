"""What a leaderboard file claims beside its numbers: suite, versions, seeds, settings, each checked alone.

Every entry has to be one that a run of this suite can have written. What only the author knows, such as the
version of Python, has to be possible.
"""

import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from vlm_gym import strict
from vlm_gym.evaluation.run_folder import renewed
from vlm_gym.evaluation.stats import CONFIDENCE, RESAMPLES, SEED
from vlm_gym.evaluation.suite import (
    RESOLVED,
    Cell,
    Decoding,
    Suite,
    digest_of,
    resembles,
    resolve,
    restore_suite,
    suite,
    suites,
)
from vlm_gym.rollouts.baselines import PLAYERS
from vlm_gym.rollouts.policy import MODELS, options_of

_KEYS = (
    *("format", "suite", "versions", "seeds", "intervals", "settings"),
    *("turns", "policies", "comparisons", "digest"),
)
_HASH = re.compile("[0-9a-f]{64}")
_FILES = re.compile("[0-9a-f]{32}")
_VERSION = re.compile(
    r"\d{1,4}(\.\d{1,4}){1,3}((a|b|rc)\d{1,4})?(\.post\d{1,4})?(\.dev\d{1,6})?(\+[a-z\d.]{0,40})?"
)
"""As packages and Python spell their versions: ``2.4.6``, ``3.15.0a2``, ``0.2.dev3+g1a2b3c4``."""
_NAME = re.compile(r"[\w.-]+:\S(.*\S)?")
"""How a model is named: its provider, a colon, and its own name."""
_LEAST = {"vlm_gym": (0, 1), "python": (3, 11), "numpy": (2, 0)}
"""Older versions cannot have made a file."""


def suite_of(claimed: Mapping[str, object]) -> Suite:
    """Build the suite that a file describes. Raises `ValueError` or `KeyError` if it describes none."""
    return restore_suite(claimed)


def problems_of(file: Mapping[str, object]) -> Iterator[str]:
    """Yield a line for every entry of a file that cannot be true.

    Raises `ValueError`, `KeyError`, `TypeError` or `AttributeError` for what is no leaderboard file.
    """
    entry = strict.record(file, "the file", _KEYS)
    problems = list(_suite(entry["suite"]))
    yield from problems
    if problems:
        return
    played = restore_suite(entry["suite"])
    yield from _name(entry["suite"], played)
    yield from _versions(entry["versions"])
    seeds = {"split": "test", "resampling": SEED, "decoding": played.decoding.seed}
    yield from _fixed(entry["seeds"], seeds, "seeds")
    intervals = {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED}
    yield from _fixed(entry["intervals"], intervals, "intervals")
    yield from _policies(entry, played)


def _suite(claimed: object) -> Iterator[str]:
    """Check that the suite means the same in this version."""
    entries = strict.record(
        claimed, "suite", ("name", "about", "digest", *RESOLVED), optional=("history_replies",)
    )
    resolved = dict[str, object]()
    for name in RESOLVED:
        if name in entries:  # a file of an earlier version may lack one
            resolved[name] = entries[name]
    if digest_of(resolved) != entries["digest"]:
        yield "the digest of the suite does not fit what the suite says"
    for cell in strict.entries(entries["cells"], "cells"):
        spelled = [strict.text(cell[name], name, most=1000) for name in Cell._fields]
        square = Cell(*spelled)
        episodes = strict.whole(cell["episodes"], "episodes", 1)
        try:
            installed = resolve(square, episodes)
        except ValueError as error:
            yield f"{square} cannot be played: {error}"
            return
        if not _means(cell, installed, square):
            yield f"{square} is another level in this version of vlm-gym"
    try:
        played = restore_suite(entries)
    except ValueError as error:
        yield f"the suite cannot be played: {error}"
        return
    if not _holds(entries["decoding"], asdict(played.decoding), asdict(Decoding())):
        yield "suite: decoding is not as this version writes it"


def _means(claimed: object, installed: Mapping[str, Any], square: Cell) -> bool:
    """Check whether a square means the same here: an earlier version may lack knobs that came later."""
    cell = strict.record(claimed, "a cell", tuple(installed))
    knobs, look = square.difficulty
    return (
        all(equal(cell[name], installed[name]) for name in (*Cell._fields, "episodes"))
        and _holds(cell["knobs"], installed["knobs"], asdict(type(knobs)()))
        and _holds(cell["look"], installed["look"], asdict(type(look)()))
    )


def _holds(claimed: object, expected: Mapping[str, object], defaults: Mapping[str, object]) -> bool:
    """Check whether entries are the same, where one that is missing stands for its default."""
    if not isinstance(claimed, dict) or not claimed.keys() <= expected.keys():
        return False
    return all(equal(claimed.get(name, defaults[name]), value) for name, value in expected.items())


def _name(claimed: Mapping[str, object], played: Suite) -> Iterator[str]:
    """Check that only what is shipped under a name bears it, or a name that looks like it."""
    name = strict.text(claimed["name"], "the name of the suite", most=500)
    about = strict.text(claimed["about"], "about", most=2000)
    if name in suites():
        shipped = suite(name)
        if not equal(shipped.resolved(), played.resolved()):
            yield f"the suite is called {name}, and is not the suite {name} of this version"
        elif about != shipped.about:
            yield f"the suite {name} is described as {strict.shown(about)}, not as {shipped.about!r}"
    elif not name.isascii() or (known := resembles(name)) is not None:
        known = resembles(name) or "a name in ASCII"
        yield f"the suite is called {strict.shown(name)}, which can be taken for {known}"


def _versions(claimed: object) -> Iterator[str]:
    versions = strict.record(claimed, "versions", tuple(_LEAST))
    for name, least in _LEAST.items():
        number = strict.text(versions[name], f"the version of {name}", most=60)
        if not _VERSION.fullmatch(number) or _numbers(number) < least:
            yield f"versions: {name} {strict.shown(number)} is none that this suite can be played with"
    newest = {"vlm_gym": version("vlm-gym"), "python": f"{platform.python_version_tuple()[0]}.9999"}
    for name, number in newest.items():
        if _numbers(versions[name]) > _numbers(number):
            yield f"versions: {name} {strict.shown(versions[name])} is newer than this one; check with that"


def _numbers(version: str) -> tuple[int, ...]:
    release, _, _ = version.partition("+")
    parts = re.findall(r"\d+", release)
    return tuple(int(digits[:9]) for digits in parts[:3])


def _fixed(claimed: object, true: Mapping[str, object], section: str) -> Iterator[str]:
    """Check entries that every file of this version has alike."""
    entries = strict.record(claimed, section, tuple(true))
    for name, value in true.items():
        if not equal(entries[name], value):
            yield f"{section}: {name} is {strict.shown(entries[name])}, not {value!r}"


def _policies(entry: Mapping[str, Any], played: Suite) -> Iterator[str]:
    """Check the policies of the file and their settings."""
    policies = list(entry["turns"])
    if not policies:
        yield "the file tells of no policy"
    for section in ("settings", "turns"):
        strict.record(entry[section], section, tuple(policies))
    rows = [row["policy"] for row in strict.entries(entry["policies"], "policies")]
    if rows != policies:
        yield f"policies: rows of {strict.shown(str(rows))}, and turns of {strict.shown(str(policies))}"
    for each in strict.entries(entry["comparisons"], "comparisons"):
        if each["one"] not in policies or each["other"] not in policies:
            yield "comparisons: one is with a policy that has no row"
    for policy in policies:
        strict.text(policy, "policy", most=1000)
        if policy not in PLAYERS and not _NAME.fullmatch(policy):
            yield f"{strict.shown(policy)} is neither a player nor the name of a model, such as openai:NAME"
        if not _HASH.fullmatch(strict.text(entry["turns"][policy], "turns")):
            yield f"turns of {policy}: no SHA-256"
        yield from _settings(policy, entry["settings"][policy], played)


def _settings(policy: str, claimed: object, played: Suite) -> Iterator[str]:
    """Check how a policy may have played: a player has no settings, a model decodes as the suite says."""
    provider = policy.partition(":")[0]
    if policy in PLAYERS or (provider not in MODELS and claimed == {}):
        yield from _fixed(claimed, {}, f"settings of {policy}")
        return
    names = _decoding(policy)
    if not names and claimed == {}:
        return
    settings = strict.record(renewed(claimed), f"settings of {policy}", ("decoding", "reply_budget", "files"))
    wanted = dict[str, object]()
    for name, value in asdict(played.decoding).items():
        if name in names:
            wanted[name] = value
    if not equal(settings["decoding"], wanted):
        yield f"settings of {policy}: it does not decode as the suite says"
    if settings["reply_budget"] is not None:
        strict.number(settings["reply_budget"], "reply_budget", 0.0)
    files = settings["files"]
    if files is not None and (provider == "openai" or not _FILES.fullmatch(strict.text(files, "files"))):
        yield f"settings of {policy}: files is {strict.shown(files)}, not the fingerprint of a folder"


def _decoding(policy: str) -> list[str]:
    """List the options of decoding that a policy takes; all of them if it cannot be loaded here."""
    try:
        return options_of(policy)
    except ValueError:
        return ["temperature", "max_tokens", "seed"]


def equal(claimed: object, true: object) -> bool:
    """Check whether two values are the same JSON: 0 is not false, and a whole number not a fraction."""
    # Python's == takes 0 for False and 1 for 1.0; their JSON differs.
    return json.dumps(claimed, sort_keys=True) == json.dumps(true, sort_keys=True)
