"""Keys of recipes that have another name now."""

from collections.abc import Mapping

from .tables import Table

RENAMED: Mapping[tuple[str, ...], str] = {
    ("grpo", "states"): "prompts_per_step",
    ("grpo", "credit"): "advantage_by",
    ("grpo", "redraw"): "dynamic_sampling",
    ("grpo", "shares", "own"): "on_policy",
    ("data", "shares", "own"): "on_policy",
}
"""Earlier keys by their path, and the name that each has now in the same table."""


def check_names(data: Mapping[str, object]) -> None:
    """Raise `ValueError` that names the new key if a recipe has an earlier one."""
    for path, name in RENAMED.items():
        *tables, old = path
        if old in _table(data, tables):
            table = ".".join(tables)
            raise ValueError(f"{table}.{old} is now {table}.{name}")


def renew(data: Mapping[str, object]) -> Table:
    """Return a recipe of an earlier run, as ``run.json`` holds it, with today's names."""
    renewed: Table = dict(data)
    for path, name in RENAMED.items():
        *tables, old = path
        if old not in _table(renewed, tables):
            continue
        table = renewed
        for word in tables:  # copies, since the tables belong to the caller
            table[word] = dict(table[word])
            table = table[word]
        table[name] = table.pop(old)
    return renewed


def _table(data: Mapping[str, object], tables: list[str]) -> Mapping[str, object]:
    """Return the table of a path; an empty one where there is none."""
    table: object = data
    for word in tables:
        table = table.get(word) if isinstance(table, Mapping) else None
    return table if isinstance(table, Mapping) else {}
