"""What lies in folders and files: recordings, judged, curves of training, and what a run says that it is."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import verdicts
from vlm_gym.evaluation.metrics import Tally, tally
from vlm_gym.evaluation.runs import RUN
from vlm_gym.replays.replay import lines, plays
from vlm_gym.report.viewer import Judged
from vlm_gym.storage import read_json

_NO_TURNS = ("replies.jsonl", ".verdicts.jsonl")
"""How the names of JSONL files end that stand beside turns and hold none."""


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

    Raises `ValueError` for a folder without any, or a file that is neither, and names it.
    """
    found = Found()
    for path, run in zip(paths, _names(paths), strict=True):
        if not path.exists():
            raise ValueError(f"{path} is not there")
        files = [path] if path.is_file() else _inside(path)
        if not files:
            raise ValueError(f"{path} holds no run: no recording and no file of numbers by step is in it")
        if about := _about(path):
            found.about[run] = about
        for file in files:
            if _is_curves(file):
                _merge_curves(found.curves.setdefault(run, {}), file)
            else:
                _add_recording(found, file, _where(file, path, run if len(paths) > 1 else ""))
    return found


def _where(file: Path, path: Path, run: str) -> str:
    """Tell a recording from others of its policy: by its run, and by the folder of its evaluation."""
    inside = file.relative_to(path).parts if path != file else ()
    return ", ".join(filter(None, (run, inside[-3] if len(inside) > 3 else ""))) or file.parent.name


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
        known = found.played.get(policy, {})
        same = all(known[episode] == count for episode, count in counts.items() if episode in known)
        name = policy if same else f"{policy} ({where})"
        mine = found.played.get(name, {})
        found.judged += [each._replace(who=name) for each in episodes if each.play.episode not in mine]
        if counts:
            found.played[name] = {**mine, **counts}


def _about(run: Path) -> str:
    """Read what a run was asked for, as far as that tells of itself."""
    path = run / RUN
    recipe = read_json(path).get("recipe", {}) if path.exists() else {}
    return str(recipe.get("about", ""))


def _inside(folder: Path) -> list[Path]:
    """List the files of a folder that are recordings or curves."""
    every = sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.zst")])
    return [path for path in every if not path.name.endswith(_NO_TURNS) and path.stat().st_size]


def _first(path: Path) -> Any:
    for _, text in lines(path):
        try:
            return json.loads(text)
        except ValueError:
            break
    return None


def _is_curves(path: Path) -> bool:
    first = _first(path)
    return isinstance(first, dict) and "step" in first and "episode" not in first


def _merge_curves(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Read lines such as ``{"stage": "grpo", "step": 3, "loss": 0.5}``; the stage, if any, leads the name."""
    for number, text in lines(path):
        try:
            entry = json.loads(text)
            step = float(entry.pop("step"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: not a line of numbers by step: {error}") from error
        stage = f"{entry['stage']}: " if "stage" in entry else ""
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
                curves.setdefault(f"{stage}{name}", []).append((step, float(value)))


def _names(paths: Iterable[Path]) -> list[str]:
    """Name runs by as little of their paths as tells them apart."""
    parts = [path.resolve().with_name(path.name.split(".")[0]).parts for path in paths]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(parts) and depth < max(map(len, parts)):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]
