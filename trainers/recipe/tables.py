"""Tables whose keys are not those of a recipe: their type, and helpers."""

from collections.abc import Collection
from typing import Any

Table = dict[str, Any]
"""A table of TOML or an object of JSON. Its keys and values are checked where it is read."""


def without(table: Table, names: Collection[str]) -> Table:
    """Copy a table without some of its keys."""
    rest = dict(table)
    for name in names:
        rest.pop(name, None)
    return rest


def is_list_of(expected: type, value: object) -> bool:
    """Return whether a value is a list whose entries are all of a type."""
    return isinstance(value, list) and all(isinstance(entry, expected) for entry in value)
