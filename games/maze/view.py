"""The visible part of a maze: all of it, or a window of rows and columns around the player."""

from collections.abc import Mapping
from functools import lru_cache

from vlm_gym.scene import Symbol

from .plan import DOORS, GOAL, KEYS, WALL

COLORS = ("red", "blue", "green")
"""Colours of the keys, and of the doors that they open, by number."""
HIDDEN = Symbol("icon", "hidden")
PLAYER = Symbol("icon", "player")
PLAYER_ON_GOAL = Symbol("icon", "player on goal")


def _symbols() -> Mapping[int, Symbol]:
    symbols = {WALL: Symbol("icon", "wall"), GOAL: Symbol("icon", "goal")}
    for key, door, color in zip(KEYS, DOORS, COLORS, strict=True):
        symbols[key] = Symbol("icon", "key", color)
        symbols[door] = Symbol("icon", "door", color)
    return symbols


SYMBOLS = _symbols()
"""What a cell shows, by its content in the plan; nothing where that is not listed."""


@lru_cache(maxsize=1 << 10)  # it depends on no plan, only on where the walker stands
def within(size: int, window: int, walker: int) -> tuple[bool, ...]:
    """List whether each cell is shown from where the walker stands. A window of 0 shows all."""
    walker_row, walker_col = divmod(walker, size)
    reach = window or size
    shown = []
    for row in range(size):
        for col in range(size):
            shown.append(max(abs(row - walker_row), abs(col - walker_col)) <= reach)
    return tuple(shown)


def look(size: int, window: int, seen: bytes, walker: int) -> bytes:
    """Return what has been seen, a byte a cell, once the walker has come to a cell."""
    return bytes(map(max, seen, within(size, window, walker)))


def drawn(plan: bytes, size: int, window: int, walker: int) -> tuple[Symbol | None, ...]:
    """Return what the cells show."""
    symbols: list[Symbol | None] = []
    for content, shown in zip(plan, within(size, window, walker), strict=True):
        symbols.append(SYMBOLS.get(content) if shown else HIDDEN)
    symbols[walker] = PLAYER_ON_GOAL if plan[walker] == GOAL else PLAYER
    return tuple(symbols)
