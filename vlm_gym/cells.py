"""Cells in words: ``(1,2)`` is row 1, column 2 from the top left, and two cells name an action."""

import re
from functools import cache

_PAIR = re.compile(r"\s*\(\s*([1-9]\d?)\s*,\s*([1-9]\d?)\s*\)" * 2 + r"\s*", re.ASCII)


@cache
def names(rows: int, cols: int) -> tuple[str, ...]:
    """Name all cells of a board, row by row."""
    return tuple(f"({row},{col})" for row in range(1, rows + 1) for col in range(1, cols + 1))


def read_pair(words: str) -> str | None:
    """Spell two cells, given in either order and with any spaces, as ``(1,2) (3,4)``: in reading order.

    None if the words are something else.
    """
    match = _PAIR.fullmatch(words)
    if not match:
        return None
    row, col, other_row, other_col = map(int, match.groups())
    return " ".join([f"({r},{c})" for r, c in sorted([(row, col), (other_row, other_col)])])
