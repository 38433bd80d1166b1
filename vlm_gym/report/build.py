"""One HTML page that holds all it shows, style, script, data and pictures: it opens without a network."""

from base64 import b64encode
from collections.abc import Sequence
from gzip import compress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from vlm_gym.evaluation.metrics import summarise
from vlm_gym.replays.replay import Play
from vlm_gym.report.overview import overview
from vlm_gym.report.runs import find_runs
from vlm_gym.report.viewer import Judged, gather, share
from vlm_gym.storage import dumps

MOST_TURNS = 20_000
"""Turns that a page holds, unless asked for more: a few megabytes, and opened in a second or two."""


def replay(title: str, plays: Sequence[Play], max_turns: int = MOST_TURNS) -> str:
    """Write a page to look at episodes. It holds about `max_turns` turns, shared out evenly, and says so."""
    return _page(title, list(map(Judged.of, plays)), "", max_turns)


def report(paths: Sequence[Path], max_turns: int = MOST_TURNS) -> str:
    """Write a page over runs, folders or files: numbers and curves first, then the episodes as `replay` does.

    Raises `ValueError` that names a path with nothing to show.
    """
    runs = find_runs(paths)
    title = f"Report: {', '.join(path.resolve().name for path in paths[:3])}{', …' * (len(paths) > 3)}"
    return _page(title, runs.judged, overview(summarise(runs.played), runs.curves, runs.about), max_turns)


def _page(title: str, episodes: Sequence[Judged], beginning: str, max_turns: int) -> str:
    chosen = share(episodes, max_turns)
    hidden = sum(len(each.verdicts) for each in episodes) - sum(len(each.verdicts) for each in chosen)
    data, mosaic = gather(chosen, hidden)
    sheets = list[str]()
    for number, sheet in enumerate(mosaic.sheets):
        sheets.append(f'<img id="sheet-{number}" alt="" src="{sheet.image()}">')
    grains = list[str]()
    for name, code in mosaic.grains().items():
        grains.append(f'<script type="text/plain" id="grain-{name}">{code}</script>')
    return Template(_part("page.html")).substitute(
        title=escape(title),
        style=_part("page.css"),
        script=_part("page.js") + _part("panel.js"),
        overview=beginning,
        sheets="\n".join(sheets),
        grains="\n".join(grains),
        # Without a time stamp: equal recordings make equal pages.
        data=b64encode(compress(dumps(data).encode(), mtime=0)).decode(),
    )


def _part(name: str) -> str:
    return (files("vlm_gym.report") / name).read_text(encoding="utf-8")
