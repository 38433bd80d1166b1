"""JSON of unknown origin: parsed with bounds, and checked field by field against types.

Files travel between people, so a reader must not trust them: no value of another type, no key that is given
twice, no number that is not finite, no nesting without end. Every error is a `ValueError` of one line.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LONGEST_LINE = 1 << 23
"""Bytes of the longest line that is read, 8 MiB: a reply of a million tokens fits in it."""
FILE = 1 << 28
"""Bytes of the largest JSON file that is read at once, 256 MiB."""
LARGEST_AMOUNT = 2**53
"""The largest amount that `amounts` accepts: sums of such numbers stay finite."""

_WHOLE = 1 << 63
"""Integers are below it: seeds are in [0, 2^63)."""
_FINITE = 1e300
"""Numbers are smaller than it, so that a sum of them is finite, too."""
_DEEPEST = 16
"""Levels of lists in a field whose type is unknown."""
_LONGEST_ERROR = 400
"""Characters of an error that another one quotes."""
_SHOWN = 80
"""Characters of a value that an error message shows."""


def parse(text: str | bytes) -> Any:
    """Parse one JSON value. Bytes are UTF-8, with or without a byte order mark.

    Raises `ValueError` for what JSON does not allow, a key that is given twice, NaN, infinity, or nesting
    that is too deep. Half of a surrogate pair is allowed, since models reply such texts.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        data = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return data


def shown(value: object) -> str:
    """Write a value for an error message: one line, cut to a length that can be read."""
    if isinstance(value, list | tuple | dict):
        # The repr of a deep value would recurse, that of a large one would take as much memory again.
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} entries"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "an integer of more than 80 digits"
    text = repr(value[: 2 * _SHOWN]) if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def brief(error: Exception) -> str:
    """Write an error as one line of a length that can be read: it may quote a value of any length."""
    line = " ".join(str(error).split())
    return line if len(line) <= _LONGEST_ERROR else f"{line[: _LONGEST_ERROR - 3]}..."


def record(
    data: object, place: str, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Check that a value is an object with exactly these keys. Raises `ValueError` that names one of them."""
    if not isinstance(data, dict):
        raise ValueError(f"{place} is {shown(data)}, not an object")
    for name in names:
        if name not in data and name not in optional:
            raise ValueError(f"{place} has no {name!r}")
    for name in data:
        if name not in names:
            raise ValueError(f"{place} has an unknown key {shown(name)}")
    return data


def entries(value: object, place: str) -> list[Any]:
    """Check a list."""
    if not isinstance(value, list):
        raise ValueError(f"{place} is {shown(value)}, not a list")
    return value


def whole(value: object, place: str, least: int = -_WHOLE, below: int = _WHOLE) -> int:
    """Check an integer in [least, below); a truth value is none."""
    if type(value) is not int or not least <= value < below:
        raise ValueError(f"{place} is {shown(value)}, not a whole number from {least} to {below - 1}")
    return value


def number(value: object, place: str, least: float | None = None) -> float:
    """Check a finite number, an integer or a float; a truth value is none."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) < _FINITE
        or (least is not None and value < least)
    ):
        range_of = "" if least is None else f" from {least:g} up"
        raise ValueError(f"{place} is {shown(value)}, not a finite number{range_of}")
    return value


def text(value: object, place: str, most: int | None = None, longest: int = LONGEST_LINE) -> str:
    """Check a text of at most `longest` characters. With `most`, it is one line of printable ones."""
    if not isinstance(value, str):
        raise ValueError(f"{place} is {shown(value)}, not text")
    if len(value) > longest:
        raise ValueError(f"{place} has {len(value)} characters; it takes up to {longest}")
    if most is not None and (len(value) > most or not value.isprintable()):
        raise ValueError(f"{place} is {shown(value)}, not one line of at most {most} characters")
    return value


def flag(value: object, place: str) -> bool:
    """Check a truth value; 0 and 1 are none."""
    if not isinstance(value, bool):
        raise ValueError(f"{place} is {shown(value)}, not true or false")
    return value


def numbers(
    value: object, place: str, needed: tuple[str, ...] = (), least: float | None = None
) -> dict[str, float]:
    """Check an object of finite numbers by name. Raises `ValueError` if one of `needed` is missing."""
    if not isinstance(value, dict):
        raise ValueError(f"{place} is {shown(value)}, not an object of numbers")
    for name in needed:
        if name not in value:
            raise ValueError(f"{place} has no {name!r}")
    checked = {}
    for name, entry in value.items():
        name = text(name, f"a name in {place}", 100)
        checked[name] = number(entry, f"{place}.{name}", least)
    return checked


Reader = Callable[[object, str], Any]
"""Checks a value, given a place to name in an error, and returns it as Python holds it."""


@lru_cache(maxsize=256)
def readers(kind: type[Any]) -> Mapping[str, tuple[Reader, bool]]:
    """Return a reader for each field of a dataclass, and whether the field has to be given.

    In JSON, tuples are lists and bytes are ``{"hex": "..."}``. What a type variable stands for is not known:
    such a field takes whatever JSON can say.
    """
    hints = get_type_hints(kind)
    return {entry.name: (_reader(hints[entry.name]), _needed(entry)) for entry in fields(kind)}


def _needed(entry: "Field[object]") -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _reader(kind: object) -> Reader:
    """Return the reader for a type."""
    simple: dict[object, Reader] = {
        int: whole,
        float: number,
        str: text,
        bool: flag,
        bytes: _bytes,
        NoneType: _none,
    }
    if kind in simple:
        return simple[kind]
    origin = get_origin(kind)
    options = get_args(kind)
    if origin is Literal:
        return lambda value, place: _one_of(options, value, place)
    if origin in (Union, UnionType):
        alternatives = [_reader(option) for option in options]
        return lambda value, place: _any_of(alternatives, value, place)
    if origin is tuple and len(options) == 2 and options[1] is Ellipsis:
        reader = _reader(options[0])
        return lambda value, place: tuple([reader(entry, place) for entry in entries(value, place)])
    if origin is tuple:
        in_order = [_reader(option) for option in options]
        return lambda value, place: _fixed(in_order, value, place)
    return _anything


def _bytes(value: object, place: str) -> bytes:
    digits = text(record(value, place, ("hex",))["hex"], place)
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise ValueError(f"{place} is {shown(digits)}, not hex digits") from error


def _none(value: object, place: str) -> None:
    if value is not None:
        raise ValueError(f"{place} is {shown(value)}, not null")


def _one_of(options: tuple[object, ...], value: object, place: str) -> object:
    for option in options:
        if type(value) is type(option) and value == option:
            return option
    raise ValueError(f"{place} is {shown(value)}; it takes {', '.join(map(str, options))}")


def _any_of(options: list[Reader], value: object, place: str) -> object:
    """Read a value by the first reader that takes it; else raise the error of the first one."""
    problems = []
    for option in options:
        try:
            return option(value, place)
        except ValueError as error:
            problems.append(error)
    raise problems[0]


def _fixed(options: list[Reader], value: object, place: str) -> tuple[object, ...]:
    given = entries(value, place)
    if len(given) != len(options):
        raise ValueError(f"{place} has {len(given)} entries, not {len(options)}")
    return tuple([option(entry, place) for option, entry in zip(options, given, strict=True)])


def _anything(value: object, place: str, depth: int = 0) -> object:
    """Make tuples of lists and bytes of hex digits, so that the value can be a part of a frozen state."""
    if isinstance(value, dict):
        return _bytes(value, place)
    if not isinstance(value, list):
        return value
    if depth == _DEEPEST:
        raise ValueError(f"{place} is nested too deeply")
    return tuple(_anything(entry, place, depth + 1) for entry in value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of its entries. Where a key stands twice, readers differ in which one they take."""
    data = dict(pairs)
    if len(data) < len(pairs):
        earlier = set[str]()
        for name, _ in pairs:
            if name in earlier:
                raise ValueError(f"the key {shown(name)} is given twice")
            earlier.add(name)
    return data


def _not_finite(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def amounts(usage: object) -> dict[str, float]:
    """Return the entries of a usage that are amounts: numbers from 0 to `LARGEST_AMOUNT`, no truth values.

    Servers also report null, text, lists and NaN. Such an entry counts as not reported.
    """
    if not isinstance(usage, Mapping):
        return {}
    reported = dict[str, float]()
    for name, value in usage.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)  # True is an int to Python
        if is_number and 0 <= value <= LARGEST_AMOUNT:  # no comparison holds for NaN
            reported[name] = value
    return reported
