"""Load what folders and files hold: judged recordings, training curves, and descriptions of runs."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import VERDICTS, verdicts
from vlm_gym.evaluation.metrics import Tally, tally
from vlm_gym.evaluation.run_folder import JOURNAL, RESULTS, RUN, TURNS_FILE
from vlm_gym.recordings.record import TURN_LINES, Turn, numbered
from vlm_gym.replays.replay import plays
from vlm_gym.report.viewer import Judged
from vlm_gym.storage import bare_name, read_json

_BESIDE = (JOURNAL, VERDICTS, ".part", ".lock", ".html", RUN, RESULTS)
"""Endings of the names of files that our own commands write beside recordings and curves."""

_TURN = frozenset(entry.name for entry in fields(Turn))
_MOST = 1e300
"""Numbers from here on are left out of curves, as infinite ones are."""

log = logging.getLogger(__name__)


@dataclass
class RunContents:
    """What the files of runs hold; `played` has whole episodes by the name that a policy is shown under."""

    judged: list[Judged] = field(default_factory=list)
    played: dict[str, dict[Episode, Tally]] = field(default_factory=dict)
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """(step, value) by run, then by the name of the number."""
    about: dict[str, str] = field(default_factory=dict)
    """The key ``about`` of the recipes, by run."""


def find_runs(paths: Sequence[Path]) -> RunContents:
    """Gather what runs left behind: folders, recordings, and JSONL files of numbers by ``step``.

    Folders and files with nothing to show are logged and left out. Raises `ValueError` that names one if
    there is nothing else, and for a path that is not there.
    """
    contents = RunContents()
    strays: list[Path] = []
    paths = list({path.resolve(): path for path in paths}.values())  # each once
    for path, run in zip(paths, _names(paths), strict=True):
        if not path.exists():
            raise ValueError(f"{path} is not there")
        files = [path] if path.is_file() else _inside(path)
        curves = list[Path]()
        recordings = list[Path]()
        others = list[Path]()
        for file in files:
            content = _content_of(file)
            by_content = {"curves": curves, "turns": recordings, "": others}
            by_content[content].append(file)
        for file, name in zip(curves, _curve_names(curves, path, run), strict=True):
            _merge_curves(contents.curves.setdefault(name, {}), file)
        for file in recordings:
            _add_recording(contents, file, _where(file, path, run if len(paths) > 1 else ""))
        if about := _about(path):
            contents.about[run] = about
        strays += others if curves or recordings else files or [path]
    if not (contents.curves or contents.judged):
        raise ValueError(_reason(strays[0]))
    for stray in strays:
        if not stray.name.endswith(_BESIDE):
            log.warning("%s is left out: it holds neither turns nor numbers by step", stray)
    return contents


def _where(file: Path, path: Path, run: str) -> str:
    """Return a label that distinguishes recordings of one policy: the run and the evaluation folder."""
    inside = file.relative_to(path).parts if path != file else ()
    return ", ".join(filter(None, (run, inside[-3] if len(inside) > 3 else ""))) or file.parent.name


def _curve_names(files: Sequence[Path], path: Path, run: str) -> list[str]:
    """Name the curves of a path by its run, and by the shortest distinguishing part of their paths."""
    folders = [file.parent.relative_to(path).parts if path != file else () for file in files]
    names = ["/".join((run, *folder)) for folder in folders]
    counts = Counter(names)
    unique = list[str]()
    for name, file in zip(names, files, strict=True):
        unique.append(name if counts[name] == 1 else f"{name}/{bare_name(file)}")
    return unique


def _add_recording(contents: RunContents, file: Path, label: str) -> None:
    """Judge a recording. Episodes that another recording has with the same outcome are not added again.

    Of an episode that was played twice, the first time counts.
    """
    judgements = list(verdicts(file))
    by_policy: dict[str, list[Judged]] = {}
    for play in plays(file):
        judged = Judged(play, play.policy, [judgements[line - 1] for line in play.lines])
        by_policy.setdefault(play.policy, []).append(judged)
    for policy, episodes in by_policy.items():
        counts: dict[Episode, Tally] = {}
        for each in episodes:
            if each.play.ended and each.play.episode not in counts:
                counts[each.play.episode] = tally(each.play.turns, each.verdicts)
        names = (policy, f"{policy} ({label})", f"{policy} ({file})")
        for name in names:  # the last is unique
            if _agree(contents.played.get(name, {}), counts):
                break
        counted = contents.played.get(name, {})
        for each in episodes:
            if each.play.episode not in counted:
                contents.judged.append(each._replace(label=name))
        if counts:
            contents.played[name] = {**counts, **counted}


def _agree(known: Mapping[Episode, Tally], counts: Mapping[Episode, Tally]) -> bool:
    """Check whether episodes that two recordings share went the same way in both."""
    shared = known.keys() & counts.keys()
    return all(known[episode] == counts[episode] for episode in shared)


def _about(run: Path) -> str:
    """Read the description of a run from its recipe, if it has one."""
    path = run / RUN
    recipe = read_json(path).get("recipe", {}) if path.exists() else {}
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} is broken: recipe is {strict.shown(recipe)}, not an object")
    return str(recipe.get("about", ""))


def _inside(folder: Path) -> list[Path]:
    """List the files of a folder that may be recordings or curves."""
    files = list[Path]()
    for path in sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.zst")]):
        if not path.name.endswith(_BESIDE) and path.stat().st_size:
            files.append(path)
    return files


def _content_of(path: Path) -> Literal["turns", "curves", ""]:
    """Check by its first line what a file holds; "" for what holds neither.

    A file of ours whose first line is broken counts as turns: reading it then raises the error.
    """
    ours = path.name == TURNS_FILE
    try:
        _, line = next(numbered(path), (1, b""))
        first = strict.parse(line)
    except ValueError:  # it has no whole line, or another compression
        return "turns" if ours else ""
    entry = first if isinstance(first, dict) else {}
    if ours or line.startswith(TURN_LINES.start) or len(_TURN & entry.keys()) > 2:
        return "turns"
    return "curves" if "step" in entry and "episode" not in entry else ""


def _reason(path: Path) -> str:
    """Describe why a path has nothing to show."""
    if path.is_dir():
        return f"{path} holds no run: no recording and no file of numbers by step is in it"
    try:
        plays(path)
    except ValueError as error:
        return str(error)
    return f"{path} holds neither turns nor numbers by step"


def _merge_curves(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Read lines such as ``{"stage": "grpo", "step": 3, "loss": 0.5}``; the stage, if any, leads the name."""
    for number, line in numbered(path, growing=True):
        try:
            entry = strict.parse(line)
            if not isinstance(entry, dict) or "step" not in entry:
                raise ValueError(f"{strict.shown(entry)} without a step")
            step = float(strict.number(entry.pop("step"), "step"))
            stage = f"{strict.text(entry['stage'], 'stage', most=100)}: " if "stage" in entry else ""
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a line of numbers by step: {error}") from error
        for name, value in entry.items():
            if type(value) in (int, float) and abs(value) < _MOST:
                curves.setdefault(f"{stage}{name}", []).append((step, float(value)))


def _names(paths: Sequence[Path]) -> list[str]:
    """Name runs by the shortest part of their paths that distinguishes them, without known endings."""
    whole = [path.resolve() for path in paths]
    parts = [path.with_name(bare_name(path)).parts if path.name else path.parts for path in whole]
    if len(set(parts)) < len(parts):  # `me.jsonl` and `me.jsonl.zst`
        parts = [path.parts for path in whole]
    depth = 1  # parts of a path, from its end
    while len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]
