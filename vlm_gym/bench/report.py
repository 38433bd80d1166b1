"""Rows of the benchmark as tables for people, and as JSON to compare with later."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

from vlm_gym.bench.rows import BenchRow

if TYPE_CHECKING:
    from rich.table import Table

BenchColumn = Callable[[BenchRow], float | None]
"""What a column shows of a row."""


def _per_second(field: str) -> BenchColumn:
    return lambda row: None if (value := getattr(row, field)) is None else 1e6 / value


def _in_copies(field: str) -> BenchColumn:
    return lambda row: None if (value := getattr(row, field)) is None else value / row.copy


def _in_units(field: str, unit: float) -> BenchColumn:
    return lambda row: None if (value := getattr(row, field)) is None else value / unit


_RATES = {
    "resets": _per_second("reset"),
    "rule\nsteps": _per_second("rules"),
    "pictures,\nsingle": _per_second("single"),
    "vector\n16": _per_second("vector16"),
    "vector\n64": _per_second("vector64"),
    "workers\n64": _per_second("workers"),
}
_COSTS = {
    "copy\nus": _in_units("copy", 1),
    "step\nus": _in_units("step", 1),
    "step\nx": _in_copies("step"),
    "reset\nx": _in_copies("reset"),
    "drawing\nx": _in_copies("draw"),
}
_SIZES = {
    "PNG\nms": _in_units("png", 1e3),
    "data URL\nms": _in_units("data_url", 1e3),
    "PNG\nkB": _in_units("png_bytes", 1e3),
    "sprite\nms": _in_units("sprite", 1e3),
    "environment\nMB": _in_units("own_bytes", 1e6),
    "sprites\nMB": _in_units("shared_bytes", 1e6),
}


def bench_tables(rows: Sequence[BenchRow], old: Sequence[BenchRow] | None = None) -> list["Table"]:
    """Lay rows out: how many a second, what one costs, what it takes; given old rows, new / old of each."""
    return [
        _table("A second (pictures: of steps and resets)", "more", _RATES, rows, old),
        _table("Cost of one (x: copies of a 448 x 448 frame)", "less", _COSTS, rows, old),
        _table("Encoding, and memory beyond one frame", "less", _SIZES, rows, old),
    ]


def _table(
    title: str,
    better: str,
    columns: Mapping[str, BenchColumn],
    rows: Sequence[BenchRow],
    old: Sequence[BenchRow] | None,
) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title if old is None else f"{title}: new / old, {better} is better",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("game", overflow="fold")
    for heading in ("level", *columns):
        table.add_column(heading, justify="right")
    before = {(row.game, row.perception): row for row in old or ()}
    for row in rows:
        earlier = before.get((row.game, row.perception))
        measured = list[float | None]()
        measured_before = list[float | None]()
        for column in columns.values():
            measured.append(column(row))
            measured_before.append(column(earlier) if earlier else None)
        if any(value is not None for value in measured):
            table.add_row(
                *_name(row),
                *(map(_short, measured) if old is None else map(_ratio, measured, measured_before)),
            )
    return table


def _name(row: BenchRow) -> tuple[str, str]:
    if row.perception is None:
        return f"{row.game}, {row.picture}", ""
    return row.game, str(row.perception)


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _ratio(new: float | None, old: float | None) -> str:
    return f"{new / old:.2f}" if new and old else ""


def to_json(rows: Sequence[BenchRow]) -> str:
    """Write rows as JSON, with the machine and the versions that they were measured on."""
    machine = {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("vlm-gym", "gymnasium", "numpy")},
    }
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1)


def from_json(text: str) -> list[BenchRow]:
    """Read the rows that `to_json` wrote; `ValueError` if there are none."""
    try:
        return [BenchRow(**row) for row in json.loads(text)["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not what `vlm-gym bench --json` writes: {error}") from None
