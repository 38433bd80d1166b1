"""The visible part of a maze: all of it, or a window of rows and columns around the player."""

from collections.abc import Mapping
from functools import lru_cache

from vlm_gym.scene import Symbol

from .plan import DOORS, GOAL, KEYS, WALL

COLORS = ("red", "blue", "green")
SHOWN: Mapping[int, Symbol | None] = {
    WALL: Symbol("icon", "wall"),
    GOAL: Symbol("icon", "goal"),
    **{key: Symbol("icon", "key", color) for key, color in zip(KEYS, COLORS, strict=True)},
    **{door: Symbol("icon", "door", color) for door, color in zip(DOORS, COLORS, strict=True)},
}
"""What a cell of the plan shows; nothing where it is not listed."""
HIDDEN, PLAYER, PLAYER_ON_GOAL = (Symbol("icon", name) for name in ("hidden", "player", "player on goal"))


@lru_cache(maxsize=1 << 10)
def within(size: int, window: int, walker: int) -> tuple[bool, ...]:
    """List whether each cell is shown from where the walker stands. A window of 0 shows all."""
    row, col = divmod(walker, size)
    reach = window or size
    far = [max(abs(place // size - row), abs(place % size - col)) for place in range(size**2)]
    return tuple([distance <= reach for distance in far])


def look(size: int, window: int, seen: bytes, walker: int) -> bytes:
    """Return what has been seen, a byte a cell, once the walker has come to a place."""
    return bytes(map(max, seen, within(size, window, walker)))


def drawn(plan: bytes, size: int, window: int, walker: int) -> tuple[Symbol | None, ...]:
    """Return what the cells show."""
    shown = within(size, window, walker)
    cells = [SHOWN.get(cell) if known else HIDDEN for cell, known in zip(plan, shown, strict=True)]
    cells[walker] = PLAYER_ON_GOAL if plan[walker] == GOAL else PLAYER
    return tuple(cells)
