"""A page that shows some rows before a model learns from them: one file, without a script."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import chain
from pathlib import Path
from string import Template
from typing import NamedTuple

import pyarrow.parquet as pq

from vlm_gym.actions import SECTIONS
from vlm_gym.registry import find

from ..recipe import Recipe, Task
from .cold_start_rows import DataRow, kept

ROWS_SHOWN = 24
"""Rows on a page, divided evenly among tasks; at least one of each task."""
_BINS = 24
_WIDE = 168
_HIGH = 28

_TAG = re.compile(f"(</?(?:{'|'.join(SECTIONS)})>)")

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Cold-start rows</title>
<style>
$style
.lengths rect { fill: var(--accent); opacity: 0.75; }
article { display: grid; grid-template-columns: minmax(0, 256px) minmax(0, 1fr); gap: 1.6rem; }
article { padding: 1.4rem 0; border-top: 1px solid var(--line); }
article img { width: 100%; image-rendering: pixelated; }
article .reply { max-height: none; }
article details { margin-top: 0.8rem; font-size: 0.88rem; }
article details p { margin-top: 0.5rem; }
@media (max-width: 760px) { article { grid-template-columns: minmax(0, 1fr); } }
</style>
</head>
<body>
<header><h1>Cold-start rows</h1></header>
<main id="overview">
<section><h2>What there is</h2><p class="note">$note</p>
<div class="wide"><table><thead><tr><td></td><td>rows</td>
<td>length of replies<small>median, 95 %, longest</small></td><td>characters</td>
<td>value<small>of the answer</small></td><td>dropped</td></tr></thead><tbody>
$table
</tbody></table></div></section>
<section><h2>Some of them</h2><p class="note">The first of each kind.</p>
$rows
</section>
</main>
</body>
</html>
""")


TaskKey = tuple[str, str, str]
"""The game of a task, its level of reasoning and of perception."""


class TaskRows(NamedTuple):
    """The numbers in the table about the rows of a task."""

    lengths: list[int]
    values: list[float]


def preview(recipe: Recipe, path: Path, replies: Sequence[Mapping[str, int]]) -> str:
    """Write a page about rows on disk. `replies` counts what a teacher gave, by kind, for every task."""
    tasks = list[TaskKey]()
    rows_by_task = dict[TaskKey, TaskRows]()
    for task in recipe.task:
        key = (task.game, task.reasoning, task.perception)
        tasks.append(key)
        rows_by_task[key] = TaskRows([], [])
    with pq.ParquetFile(path) as file:
        columns = ["game", "reasoning", "perception", "value", "completion"]
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                task_rows = rows_by_task[_task(row)]
                task_rows.lengths.append(len(_reply_text(row)))
                if row["value"] is not None:
                    task_rows.values.append(row["value"])
        shown = _first(file, tasks)
    longest = 0
    for task_rows in rows_by_task.values():
        longest = max(longest, max(task_rows.lengths, default=0))
    learned = kept(recipe.data)
    table = []
    for task, key, counts in zip(recipe.task, tasks, replies, strict=True):
        dropped = dict[str, int]()
        for kind, count in counts.items():
            if kind not in learned:
                dropped[kind] = count
        table.append(_line(task, rows_by_task[key], dropped, longest))
    note = f"{recipe.data.rows:,} rows by {escape(recipe.data.teacher)}, seed {recipe.seed}."
    return PAGE.substitute(
        style=(files("vlm_gym.report") / "page.css").read_text(encoding="utf-8"),
        note=note,
        table="\n".join(table),
        rows="\n".join(map(_article, shown)),
    )


def _first(file: pq.ParquetFile, tasks: Sequence[TaskKey]) -> list[DataRow]:
    """Take the first rows of every task, task by task."""
    wanted = max(1, ROWS_SHOWN // len(tasks))
    rows_of: dict[TaskKey, list[DataRow]] = {task: [] for task in tasks}
    missing = wanted * len(tasks)
    for batch in file.iter_batches(ROWS_SHOWN):
        for row in batch.to_pylist():
            rows = rows_of[_task(row)]
            if len(rows) < wanted:
                rows.append(row)
                missing -= 1
        if not missing:
            break
    return list(chain.from_iterable(rows_of.values()))


def _task(row: DataRow) -> TaskKey:
    return row["game"], row["reasoning"], row["perception"]


def _reply_text(row: DataRow) -> str:
    (message,) = row["completion"]
    return "".join(block["text"] for block in message["content"])


def _line(task: Task, rows: TaskRows, dropped: Mapping[str, int], longest: int) -> str:
    lengths = sorted(rows.lengths)
    values = rows.values
    cells = [
        f"<th>{escape(find(task.game).title)} <small>{_level(task.perception, task.reasoning)}</small></th>",
        f"<td>{len(lengths):,}</td>",
    ]
    if lengths:
        median = lengths[len(lengths) // 2]
        long = lengths[len(lengths) * 95 // 100]  # 95 % of the replies are at most as long
        cells += [
            f"<td>{median:,}, {long:,}, {lengths[-1]:,}</td>",
            f"<td>{_histogram(lengths, longest)}</td>",
        ]
        cells += [f"<td>{sum(values) / len(values):.2f}</td>" if values else "<td></td>"]
    return f"<tr>{''.join(cells)}<td>{_counts(dropped)}</td></tr>"


def _level(perception: str, reasoning: str) -> str:
    return f"p {escape(perception)}, r {escape(reasoning)}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "none"


def _histogram(lengths: Sequence[int], longest: int) -> str:
    """Draw how many replies are how long, from nothing to the longest of all tasks."""
    bins = [0] * _BINS
    for length in lengths:
        bins[min(length * _BINS // (longest + 1), _BINS - 1)] += 1
    step = _WIDE / _BINS
    largest = max(bins)
    bars = ""
    for index, count in enumerate(bins):
        if count:
            x = f"{index * step:g}"
            y = f"{_HIGH * (1 - count / largest):.1f}"
            bars += f'<rect x="{x}" y="{y}" width="{step - 1:g}" height="{_HIGH * count / largest:.1f}"/>'
    return (
        f'<svg class="lengths" width="{_WIDE}" height="{_HIGH}" role="img" '
        f'aria-label="lengths, 0 to {longest} characters">'
        f'<path class="axis" d="M0 {_HIGH}H{_WIDE}"/>{bars}</svg>'
    )


def _article(row: DataRow) -> str:
    pictures = ""
    for image in row["images"]:
        encoded = b64encode(image["bytes"]).decode()
        pictures += f'<img alt="" src="data:image/png;base64,{encoded}">'
    texts = list[str]()
    for message in row["prompt"]:
        for block in message["content"]:
            if block["type"] == "text":
                texts.append(block["text"])
    asked = "\n".join(texts)
    value = "" if row["value"] is None else f", value {row['value']:.2f}"
    level = _level(row["perception"], row["reasoning"])
    return (
        f"<article><div>{pictures}</div><div>"
        f"<h3>{escape(find(row['game']).title)} <small>{level}{value}</small></h3>"
        f'<p class="reply">{highlight(_reply_text(row))}</p>'
        f'<details><summary>Instructions</summary><p class="prompt">{escape(asked)}</p></details>'
        f"</div></article>"
    )


def highlight(reply: str) -> str:
    """Write a reply as HTML, each section in the colour that the style sheet has for it."""
    parts = list[str]()
    section = "outside"
    for part in filter(None, _TAG.split(reply)):
        name = part.strip("</>")
        if _TAG.fullmatch(part):
            parts.append(f'<span class="tag {name}">{escape(part)}</span>')
            section = "outside" if part.startswith("</") else name
        else:
            parts.append(f'<span class="{section}">{escape(part)}</span>')
    return "".join(parts)
