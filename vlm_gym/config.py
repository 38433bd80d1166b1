"""Settings in TOML files, as frozen dataclasses: what a file may say is what the class declares."""

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vlm_gym.knobs import hint

T = TypeVar("T")

_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list"}


def load(kind: type[T], path: Path) -> T:
    """Read a file as an instance of a dataclass.

    Fields are text, one of some words, numbers, truth values, dataclasses, and tuples of them. `ValueError`
    names the file and the place of what is unknown, missing, of another type, or refused by the class;
    `OSError` without a file.
    """
    try:
        return build(kind, tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # that of TOML and of UTF-8 are kinds of it
        raise ValueError(f"{path}: {error}") from error


def build(kind: type[T], data: Mapping[str, Any], place: str = "") -> T:
    """Make an instance of a dataclass from plain data, such as JSON. Raises `ValueError` as `load` does."""
    entries = {entry.name: entry for entry in fields(kind) if entry.init}  # type: ignore[arg-type]
    for name in data:
        if name not in entries:
            known = list(entries)
            raise ValueError(f"unknown key {place + name!r}{hint(name, known)}; keys: {', '.join(known)}")
    if missing := [name for name, entry in entries.items() if name not in data and _needed(entry)]:
        raise ValueError(f"{place + missing[0]} is missing")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, place + name) for name, value in data.items()})


def _needed(entry: "Field[Any]") -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _value(kind: Any, value: Any, place: str) -> Any:
    """Check a value against the type of its field; lists become tuples."""
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (option for option in get_args(kind) if option is not type(None))
        if value is None:
            return None
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(map(str, get_args(kind)))
            raise ValueError(f"{place}={value!r} is not possible; {place} takes {choices}")
        return value
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_value(get_args(kind)[0], entry, f"{place}[{at}]") for at, entry in enumerate(value))
    if is_dataclass(kind) and isinstance(value, Mapping):
        return build(kind, value, f"{place}.")  # type: ignore[arg-type]
    wanted = get_origin(kind) or kind
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{place}={value!r} is not possible; {place} takes {_NAMES.get(wanted, 'a table')}")
    return value
