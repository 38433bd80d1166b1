"""Thoughts for Lights Out: chase the lamps down, and derive the first row from the remaining lamps.

Row by row, the thought presses the cells below lamps that are still lit, and says which columns those are.
The lamps left over in the last row decide what the first row needs. The first press of that row is played;
if it needs none, the first press of the chase.
"""

from collections.abc import Sequence

from vlm_gym.thought import Thought, parse_sentence

from .solver import chase, fewest

LARGEST = 7
"""Columns of the largest board."""


def _counted(start: str) -> tuple[str, ...]:
    """Write the templates that list no column, one column, and so on."""
    return f"{start} none", *(start + " {n}" * count for count in range(1, LARGEST + 1))


CHASES = _counted("{line} presses")
LEAVES = _counted("left over")
NEEDS = _counted("first row needs")
GRAMMAR = (*CHASES, *LEAVES, *NEEDS)


def think(cells: bytes, size: int) -> Thought:
    """Return the thought on a board with lit lamps."""
    presses, lit = chase(cells, size, ())
    steps = [f"row {row + 1} presses {_columns(presses[row])}" for row in range(1, size)]
    steps.append(f"left over {_columns(lit)}")
    needed = [cell for cell in fewest(cells, size) if cell < size]  # those of the first row
    steps.append(f"first row needs {_columns(needed)}")
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, 1.0)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the first press: of the first row, else of the chase."""
    chased: str | None = None
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (line, *columns)) if template in CHASES and columns and chased is None:
                chased = f"({line.removeprefix('row ')},{columns[0]})"
            case (template, columns) if template in NEEDS:
                return f"(1,{columns[0]})" if columns else chased
    return None


def _columns(columns: Sequence[int]) -> str:
    """List columns, counted from 1."""
    return " ".join([str(col + 1) for col in columns]) or "none"
