"""Difficulty as data: named knobs with a range, and levels as presets over them.

Both axes use this file: `reasoning` knobs are a game's, `perception` knobs are the renderer's.
"""

import json
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound="Knobs")

Choice = int | str | Mapping[str, Any]
"""How a caller names a difficulty: a level (`2`), a preset (`"paper"`), knobs (`{"rows": 8}`, over the
defaults, or over a level: `{"level": 2, "rows": 8}`), or the same as text (`"level=2,rows=8"`). A text with
commas, quotes or spaces around it stands in quotes, as in JSON: `'pictures="photos, 2024"'`."""

_PIECE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")*', re.DOTALL)
"""What stands between two commas: a comma within quotes does not count."""


def knob(default: T, effect: str, within: tuple[object, ...]) -> T:
    """Declare a knob: a dataclass field that knows its effect and what it accepts.

    `within` is (lowest, highest) for a number and the tuple of choices for a word; () takes any text.
    """
    value: T = field(default=default, metadata={"effect": effect, "within": within})
    return value


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Base of a set of knobs. Raises `ValueError` where a value is out of its range."""

    def __post_init__(self) -> None:
        """Check every knob, so that a wrong one fails here and not in the middle of a game."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            default = entry.default
            within = entry.metadata["within"]
            if isinstance(default, str):
                fits = isinstance(value, str) and (not within or value in within)
            else:
                number_type = numbers.Integral if isinstance(default, int) else numbers.Real
                fits = isinstance(value, number_type) and not isinstance(value, bool)
                fits = fits and within[0] <= value <= within[1]
            if not fits:
                raise ValueError(f"{entry.name}={value!r} is not possible; {entry.name} takes {span(within)}")


def span(within: tuple[object, ...]) -> str:
    """Return a phrase that names the values that a knob accepts."""
    if not within:
        return "text"
    if isinstance(within[0], str):
        return ", ".join(map(str, within))
    noun = "whole numbers" if all(isinstance(end, int) for end in within) else "numbers"
    return f"{noun} {within[0]} to {within[1]}"


def settle(axis: str, choice: Choice | K, levels: tuple[K, ...], presets: Mapping[str, K] | None = None) -> K:
    """Turn a caller's choice into knobs.

    Raises `ValueError` that lists the levels, presets or knobs there are.
    """
    named = {str(number): level for number, level in enumerate(levels)}
    named |= presets or {}
    knobs_type = type(levels[0])
    if isinstance(choice, knobs_type):
        return choice
    if isinstance(choice, str) and "=" in choice:
        choice = _read(axis, choice, knobs_type)
    if isinstance(choice, Mapping):
        wanted = dict(choice)
        base = settle(axis, wanted.pop("level"), levels, presets) if "level" in wanted else knobs_type()
        known = [entry.name for entry in fields(knobs_type)]
        for name in wanted:
            if name not in known:
                raise ValueError(
                    f"unknown {axis} knob {name!r}{suggest(name, known)}; knobs: {', '.join(known)}"
                )
        return replace(base, **wanted)
    if (
        isinstance(choice, bool)
        or not isinstance(choice, (numbers.Integral, str))
        or str(choice) not in named
    ):
        raise ValueError(f"unknown {axis} level {choice!r}; levels: {', '.join(named)}, or knobs by name")
    return named[str(choice)]


def spell(choice: Choice | Knobs) -> str:
    """Write a choice as the text that `settle` reads back: `"2"`, `"paper"`, `"level=2,rows=8"`.

    A text that would be read otherwise stands in double quotes, as in JSON: `pictures="photos, 2024"`.
    """
    if isinstance(choice, Knobs):
        choice = {entry.name: getattr(choice, entry.name) for entry in fields(choice)}
    if isinstance(choice, Mapping):
        return ",".join(f"{name}={_quote(value)}" for name, value in choice.items())
    return str(choice)


def suggest(name: str, known: list[str]) -> str:
    """Offer the nearest known name, for the end of an error message."""
    near = get_close_matches(str(name), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def pieces(text: str) -> list[str]:
    """Split a text at its commas, but for those in quotes. Raises `ValueError` for a quote that is open."""
    parts = []
    start = 0
    while start <= len(text):
        match = _PIECE.match(text, start)
        assert match is not None  # it matches nothing, at least
        if match.end() < len(text) and text[match.end()] != ",":
            raise ValueError(f"a quote is not closed in {text!r}")
        parts.append(match[0])
        start = match.end() + 1
    return parts


def _quote(value: object) -> str:
    """Write a value so that `_read` gives it back; only a text that could be misread gets quotes."""
    if isinstance(value, str) and ("," in value or '"' in value or value != value.strip()):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _read(axis: str, text: str, knobs_type: type[Knobs]) -> dict[str, object]:
    """Read knobs as `spell` writes them: numbers, but for knobs that take text."""
    texts = [entry.name for entry in fields(knobs_type) if isinstance(entry.default, str)]
    wanted: dict[str, object] = {}
    try:
        for part in pieces(text):
            name, equals, value = map(str.strip, part.partition("="))
            if not equals or not name:
                raise ValueError(f"{part!r} is not of this form")
            if value.startswith('"'):
                wanted[name] = json.loads(value)
            else:
                wanted[name] = value if name in texts else _number(value)
    except ValueError as error:
        raise ValueError(
            f"cannot read {axis} {text!r}; write knobs as name=value,name=value, and a text with commas or "
            f'quotes as JSON does: name="a, b" ({error})'
        ) from error
    return wanted


def _number(text: str) -> int | float | str:
    """Parse an integer or another number; other text is returned as it is, for the knob to refuse."""
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text
