"""What lies in folders and files: recordings, judged, curves of training, and what a run says that it is."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import verdicts
from vlm_gym.evaluation.metrics import Tally, tally
from vlm_gym.evaluation.runs import RUN, TURNS, read_json
from vlm_gym.replays.replay import plays
from vlm_gym.report.viewer import Judged
from vlm_gym.rollouts.record import Turn, numbered

_BESIDE = ("replies.jsonl", ".verdicts.jsonl", ".part")
"""How the names of files end that stand beside turns and hold none."""
_SHOWN = ("turns", "curves")
_TURN = frozenset(entry.name for entry in fields(Turn))

_MOST = 1e300
"""Numbers from here on are left out of curves, as infinite ones are."""

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

    Files that hold neither are left out as long as anything is left: ``runs/*`` names notes, too, and what
    an earlier report left beside a recording. The log names those of other programs. Raises `ValueError`
    that names the path if nothing is left, and for a file of ours that is broken.
    """
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} is not there")
    # Before runs are named: a stray file must not make the names of the others longer.
    named = [path for path in paths if path.is_dir() or _content(path) in _SHOWN]
    strays = [path for path in paths if path not in named]
    found = Found()
    shown = 0
    for path, run in zip(named, _names(named), strict=True):
        if about := _about(path):
            found.about[run] = about
        for file in [path] if path.is_file() else _inside(path):
            content = _content(file)
            if content not in _SHOWN:
                strays.append(file)
                continue
            shown += 1
            if content == "curves":
                _merge_curves(found.curves.setdefault(run, {}), file)
            else:
                _add_recording(found, file, _where(file, path, run if len(named) > 1 else ""))
    if not shown and strays:
        more = f", and {len(strays) - 1} more files" if len(strays) > 1 else ""
        raise ValueError(f"{_content(strays[0])}{more}")
    if not shown:
        folders = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        raise ValueError(f"{folders} holds no run: no recording and no file of numbers by step is in it")
    for stray in strays:
        if not stray.name.endswith(_BESIDE):
            log.warning("%s; it is left out", _content(stray))
    return found


def _content(path: Path) -> str:
    """Return ``turns``, ``curves``, or what else a file holds.

    The first line decides, and a name that only our files have. So a broken file of ours is an error, and a
    file of another program is not.
    """
    if path.name.endswith(_BESIDE):
        return f"{path} is a file beside turns and holds none"
    if not path.name.endswith((".jsonl", ".jsonl.zst")):
        return f"{path} is no recording and no file of numbers by step: its name does not end in .jsonl"
    if not path.stat().st_size:
        return f"{path} holds no turns"
    first = None
    try:
        for _, line in numbered(path):
            first = strict.parse(line)
            break
    except ValueError as error:
        return "turns" if path.name == TURNS else f"{path}, line 1: not a line of JSON: {error}"
    keys = first.keys() if isinstance(first, dict) else set[str]()
    if "step" in keys and "episode" not in keys:
        return "curves"
    if path.name == TURNS or len(keys & _TURN) > 2:
        return "turns"
    return f"{path}, line 1: not a turn, and no numbers by step"


def _where(file: Path, path: Path, run: str) -> str:
    """Tell a recording from others of its policy: by its run, and by the folder of its evaluation."""
    inside = file.relative_to(path).parts if path != file else ()
    return ", ".join(filter(None, (run, inside[-3] if len(inside) > 3 else ""))) or file.parent.name


def _add_recording(found: Found, file: Path, where: str) -> None:
    """Judge a recording. What another has played to the same end is not told twice.

    An episode that was played twice counts as it went first.
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
        known = found.played.get(policy, {})
        same = all(known[episode] == count for episode, count in counts.items() if episode in known)
        name = policy if same else f"{policy} ({where})"
        mine = found.played.get(name, {})
        found.judged += [each._replace(who=name) for each in episodes if each.play.episode not in mine]
        if counts:
            found.played[name] = {**counts, **mine}


def _about(run: Path) -> str:
    """Read what a run was asked for, as far as that tells of itself."""
    path = run / RUN
    recipe = read_json(path).get("recipe", {}) if path.exists() else {}
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} is broken: recipe is {strict.shown(recipe)}, not an object")
    return str(recipe.get("about", ""))


def _inside(folder: Path) -> list[Path]:
    """List the files of a folder that may be recordings or curves."""
    every = sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.zst")])
    return [path for path in every if not path.name.endswith(_BESIDE) and path.stat().st_size]


def _merge_curves(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Read lines such as ``{"stage": "grpo", "step": 3, "loss": 0.5}``; the stage, if any, leads the name."""
    for number, line in numbered(path):
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


def _names(paths: Iterable[Path]) -> list[str]:
    """Name runs by as little of their paths as tells them apart."""
    parts = [path.resolve().with_name(path.name.split(".")[0]).parts for path in paths]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(parts) and depth < max(map(len, parts)):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]
