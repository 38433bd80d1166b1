"""What lies in folders and files: recordings, judged, curves of training, and what a run says that it is."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal

from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import VERDICTS, verdicts
from vlm_gym.evaluation.metrics import Tally, tally
from vlm_gym.evaluation.runs import JOURNAL, RESULTS, RUN
from vlm_gym.replays.replay import lines, plays
from vlm_gym.report.viewer import Judged
from vlm_gym.rollouts.record import TURN_LINES
from vlm_gym.storage import bare_name, blocks, is_json, read_json

_BESIDE = (JOURNAL, VERDICTS, ".part", ".lock", ".html", RUN, RESULTS)
"""How the names of files end that our own commands write beside recordings and curves."""

log = logging.getLogger(__name__)


@dataclass
class Found:
    """All that was found; `played` counts whole episodes by the name that a policy is shown under."""

    judged: list[Judged] = field(default_factory=list)
    played: dict[str, dict[Episode, Tally]] = field(default_factory=dict)
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """(step, value) by run, then by the name of the number."""
    about: dict[str, str] = field(default_factory=dict)
    """What the recipes of runs say that they are, by run."""


def search(paths: Sequence[Path]) -> Found:
    """Gather what runs left behind: folders, recordings, and JSONL files of numbers by ``step``.

    Folders and files with nothing to show are logged and left out. Raises `ValueError` that names one if
    there is nothing else, and for a path that is not there.
    """
    found = Found()
    strays: list[Path] = []
    paths = list({path.resolve(): path for path in paths}.values())
    for path, run in zip(paths, _names(paths), strict=True):
        if not path.exists():
            raise ValueError(f"{path} is not there")
        files = [path] if path.is_file() else _inside(path)
        kinds = {file: _kind(file) for file in files}
        curves = [file for file in files if kinds[file] == "curves"]
        for file, name in zip(curves, _curve_names(curves, path, run), strict=True):
            _merge_curves(found.curves.setdefault(name, {}), file)
        recordings = [file for file in files if kinds[file] == "turns"]
        for file in recordings:
            _add_recording(found, file, _where(file, path, run if len(paths) > 1 else ""))
        if about := _about(path):
            found.about[run] = about
        strays += [file for file in files if not kinds[file]] if curves or recordings else files or [path]
    if not (found.curves or found.judged):
        raise ValueError(_reason(strays[0]))
    for stray in strays:
        if not stray.name.endswith(_BESIDE):
            log.warning("%s is left out: it holds neither turns nor numbers by step", stray)
    return found


def _where(file: Path, path: Path, run: str) -> str:
    """Tell a recording from others of its policy: by its run, and by the folder of its evaluation."""
    inside = file.relative_to(path).parts if path != file else ()
    return ", ".join(filter(None, (run, inside[-3] if len(inside) > 3 else ""))) or file.parent.name


def _curve_names(files: Sequence[Path], path: Path, run: str) -> list[str]:
    """Name the curves of a path: by its run, and by as much of the place in it as tells them apart."""
    places = [file.parent.relative_to(path).parts if path != file else () for file in files]
    names = ["/".join((run, *place)) for place in places]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name}/{bare_name(file)}"
        for name, file in zip(names, files, strict=True)
    ]


def _add_recording(found: Found, file: Path, where: str) -> None:
    """Judge a recording. What another has played to the same end is not told twice."""
    judgements = list(verdicts(file))
    by_policy: dict[str, list[Judged]] = {}
    for play in plays(file):
        judged = Judged(play, play.policy, [judgements[line - 1] for line in play.lines])
        by_policy.setdefault(play.policy, []).append(judged)
    for policy, episodes in by_policy.items():
        counts = {
            each.play.episode: tally(each.play.turns, each.verdicts) for each in episodes if each.play.ended
        }
        names = (policy, f"{policy} ({where})", f"{policy} ({file})")
        name = next((name for name in names if _agree(found.played.get(name, {}), counts)), names[-1])
        mine = found.played.get(name, {})
        found.judged += [each._replace(who=name) for each in episodes if each.play.episode not in mine]
        if counts:
            found.played[name] = {**mine, **counts}


def _agree(known: Mapping[Episode, Tally], counts: Mapping[Episode, Tally]) -> bool:
    """Check whether episodes that two recordings share went the same way in both."""
    return all(known[episode] == count for episode, count in counts.items() if episode in known)


def _about(run: Path) -> str:
    """Read what a run was asked for, as far as that tells of itself."""
    path = run / RUN
    recipe = read_json(path).get("recipe", {}) if path.exists() else {}
    return str(recipe.get("about", ""))


def _inside(folder: Path) -> list[Path]:
    """List the files of a folder that may be recordings or curves."""
    every = sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.zst")])
    return [path for path in every if not path.name.endswith(_BESIDE) and path.stat().st_size]


def _kind(path: Path) -> Literal["turns", "curves", ""]:
    """Check by its first line what a file holds; "" for what holds neither."""
    try:
        first = next(lines(path), (1, ""))[1]
    except ValueError:  # no line of it is whole, or it is compressed otherwise
        return ""
    if first.startswith(TURN_LINES.start.decode()):
        return "turns"
    entry = json.loads(first) if is_json(first) else {}
    if "episode" in entry and "state" in entry:
        return "turns"
    return "curves" if "step" in entry else ""


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
    """Read lines such as ``{"stage": "grpo", "step": 3, "loss": 0.5}``; the stage, if any, leads the name.

    Lines that are half-written are left out: a run that goes on may be writing one.
    """
    number = 0
    for text in (line for block in blocks(path) for line in block.lines):
        number += 1
        if not is_json(text):
            log.warning("%s, line %d is torn; it is left out", path, number)
            continue
        entry = json.loads(text)
        try:
            step = float(entry.pop("step"))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: not a line of numbers by step: {error}") from error
        stage = f"{entry['stage']}: " if "stage" in entry else ""
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
                curves.setdefault(f"{stage}{name}", []).append((step, float(value)))


def _names(paths: Sequence[Path]) -> list[str]:
    """Name runs by as little of their paths as tells them apart; known endings are left out."""
    whole = [path.resolve() for path in paths]
    parts = [path.with_name(bare_name(path)).parts if path.name else path.parts for path in whole]
    if len(set(parts)) < len(parts):  # `me.jsonl` and `me.jsonl.zst`
        parts = [path.parts for path in whole]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]
