"""Actions that name a column: ``column 3``, and ``column 3 turned 1`` where a piece is turned first."""

import re
from collections.abc import Iterable

_PLACEMENT = re.compile(r"column (\d+)( turned \d+)?")


def column(action: str) -> int | None:
    """Return the column that an action names, counted from 1; None if it names none."""
    match = _PLACEMENT.fullmatch(action)
    return int(match[1]) if match else None


def turnings(actions: Iterable[str]) -> tuple[str, ...]:
    """List what can follow the column in these actions: ``("",)``, or ``(" turned 0", " turned 1")``.

    In the order of the actions, without repetition. Empty where no action names a column.
    """
    matches = [match for match in map(_PLACEMENT.fullmatch, actions) if match]
    return tuple(dict.fromkeys([match[2] or "" for match in matches]))
