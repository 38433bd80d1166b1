"""One HTML page that holds all it shows, style, script, data and pictures: it opens without a network."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from gzip import compress
from html import escape
from importlib.resources import files
from string import Template

from vlm_gym.record import dumps
from vlm_gym.replay import Play
from vlm_gym.report.viewer import gather, share

TURNS = 20_000
"""Turns that a page holds, unless asked for more: some 5 MB, and opened in a second or two."""


def page(
    title: str,
    plays: Sequence[Play],
    overview: str = "",
    names: Mapping[str, str] | None = None,
    most: int = TURNS,
) -> str:
    """Write the page for these episodes; for `names`, see `viewer.gather`. `overview` is HTML to begin with.

    Holds about `most` turns, shared out evenly, and says how many were left out.
    """
    chosen = share(plays, most)
    hidden = sum(len(play.turns) for play in plays) - sum(len(play.turns) for play in chosen)
    data, mosaic = gather(chosen, names, hidden)
    sheets = (f'<img id="sheet-{n}" alt="" src="{sheet.image()}">' for n, sheet in enumerate(mosaic.sheets))
    grains = (
        f'<script type="text/plain" id="grain-{name}">{code}</script>'
        for name, code in mosaic.grains().items()
    )
    return Template(_part("page.html")).substitute(
        title=escape(title),
        style=_part("page.css"),
        script=_part("page.js"),
        overview=overview,
        sheets="\n".join(sheets),
        grains="\n".join(grains),
        # Without a time stamp: equal recordings make equal pages.
        data=b64encode(compress(dumps(data).encode(), mtime=0)).decode(),
    )


def _part(name: str) -> str:
    return (files("vlm_gym.report") / name).read_text(encoding="utf-8")
