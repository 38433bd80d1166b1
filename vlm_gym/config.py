"""Settings in TOML files, as frozen dataclasses: what a file may say is what the class declares."""

import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from math import inf, isfinite, isnan
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vlm_gym import strict
from vlm_gym.knobs import suggest

T = TypeVar("T")

_WHOLE = 1 << 63
"""Whole numbers are below it."""
_NAMES: Mapping[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list",
    list: "a list",
}


@dataclass(frozen=True)
class Within:
    """The range of a number, as a part of its type: ``Annotated[int, Within(1)]``."""

    least: float = -inf
    most: float = inf
    above: bool = False
    """Whether a number has to be above `least`."""

    def __contains__(self, value: float) -> bool:
        """Return whether a number is in the range. Infinity and NaN are in no range."""
        low = self.least < value if self.above else self.least <= value
        return isfinite(value) and low and value <= self.most

    def __str__(self) -> str:
        """Return the range in words, to follow ``a number`` in an error message."""
        if self.above:
            return f"above {self.least}" + (f" and up to {self.most}" if self.most < inf else "")
        if self.most < inf:
            return f"from {self.least} to {self.most}"
        return f"of {self.least} or more" if self.least > -inf else "that is finite"


def load(kind: type[T], path: Path) -> T:
    """Read a file as an instance of a dataclass.

    Fields are text, one of some words, numbers, truth values, dataclasses, and tuples of them; numbers may
    have a range (`Within`). `ValueError` names the file and the place of what is unknown, missing, of another
    type, out of its range, or refused by the class; `OSError` without a file.
    """
    with naming(path):
        return build(kind, parse_toml(path))


def parse_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file, with or without a byte order mark. Use it within `naming`."""
    return tomllib.loads(path.read_text(encoding="utf-8-sig"))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise what is wrong with the settings of a file as a `ValueError` that names it."""
    try:
        yield
    except ValueError as error:  # that of TOML and of UTF-8 are kinds of it
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply") from error


def build(kind: type[T], data: Mapping[str, object], place: str = "") -> T:
    """Make an instance of a dataclass from plain data, such as JSON. Raises `ValueError` as `load` does."""
    entries = {entry.name: entry for entry in fields(kind) if entry.init}  # type: ignore[arg-type]
    for name in data:
        if name not in entries:
            known = list(entries)
            raise ValueError(f"unknown key {place + name!r}{suggest(name, known)}; keys: {', '.join(known)}")
    for name, entry in entries.items():
        if name not in data and _needed(entry):
            raise ValueError(f"{place + name} is missing")
    hints = get_type_hints(kind, include_extras=True)
    values = {}
    for name, value in data.items():
        values[name] = read_value(hints[name], value, place + name)
    return kind(**values)


def _needed(entry: "Field[object]") -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def read_value(kind: Any, value: object, place: str) -> Any:
    """Check a value against a type, and its range if it has one, and give it as `build` does.

    Types are those of `load`, and what libraries have in their settings: tables, enumerations and unions.
    Raises `ValueError` that names the place.
    """
    within = None
    if get_origin(kind) is Annotated:
        kind, within = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return _either(get_args(kind), value, place)
    if get_origin(kind) is Literal or _members(kind):
        choices = get_args(kind) or _members(kind)
        if value not in choices:
            texts = list(map(str, choices))
            raise _wrong(place, value, ", ".join(texts), suggest(str(value), texts))
        return value
    if get_origin(kind) is tuple and isinstance(value, list):
        entries = []
        for index, entry in enumerate(value):
            entries.append(read_value(get_args(kind)[0], entry, f"{place}[{index}]"))
        return tuple(entries)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return build(kind, value, f"{place}.")  # type: ignore[arg-type]
    if get_origin(kind) is dict and get_args(kind)[1] is not Any and isinstance(value, Mapping):
        table = {}
        for name, entry in value.items():
            table[name] = read_value(get_args(kind)[1], entry, f"{place}.{name}")
        return table
    wanted = get_origin(kind) or kind
    # TOML's own range: Python's integers have none, and no float is as large as some of them.
    small = not isinstance(value, int) or -_WHOLE <= value < _WHOLE
    made = value
    if wanted is float and small and isinstance(value, int) and not isinstance(value, bool):
        made = float(value)
    # True is an int to Python, but it is no number in a settings file.
    fits = small and isinstance(made, wanted) and (wanted is bool or not isinstance(made, bool))
    fits = fits and not (isinstance(made, float) and isnan(made))
    if not fits or (within is not None and made not in within):
        takes = _NAMES.get(wanted, "a table")
        raise _wrong(place, value, f"{takes} {within}" if within is not None else takes)
    return made


def _either(options: Sequence[object], value: object, place: str) -> object:
    """Check a value against several types. Where one of them is an enumeration, text is a member of it."""
    if value is None and type(None) in options:
        return None
    options = [option for option in options if option is not type(None)]
    if any(map(_members, options)):
        options = [option for option in options if option is not str]
    if len(options) == 1:
        return read_value(options[0], value, place)
    for option in options:
        with suppress(ValueError):
            return read_value(option, value, place)
    raise _wrong(place, value, " or ".join(map(_takes, options)))


def _takes(kind: object) -> str:
    """Name what one type of a union takes: its choices, or a kind of value with its range."""
    within = None
    if get_origin(kind) is Annotated:
        kind, within = get_args(kind)
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    name = _NAMES.get(get_origin(kind) or kind, "a table")
    return name if within is None else f"{name} {within}"


def _members(kind: object) -> list[object]:
    """List the values of an enumeration; none for another type."""
    if not isinstance(kind, type) or not issubclass(kind, Enum):
        return []
    return [member.value for member in kind]


def _wrong(place: str, value: object, takes: str, hint: str = "") -> ValueError:
    text = repr(value)
    if len(text) > 200:
        text = strict.shown(value)
    return ValueError(f"{place}={text} is not possible{hint}; {place} takes {takes}")
