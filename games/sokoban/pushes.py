"""How pushes are written: a box, and the cell next to it, as in ``(3,2) (3,3)``."""

import re
from collections.abc import Mapping
from functools import lru_cache

from vlm_gym.cells import cell_names

from .room import Push, Room, pushes

_ACTION = re.compile(r"\s*\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)" * 2 + r"\s*", re.ASCII)


def actions(size: int) -> tuple[str, ...]:
    """Name all pushes that can ever be legal."""
    names = cell_names(size, size)
    inner: list[int] = []  # all cells within the border of walls
    for row in range(1, size - 1):
        inner += range(row * size + 1, (row + 1) * size - 1)
    all_actions: list[str] = []
    for box in inner:
        for offset in (-size, -1, 1, size):
            if box + offset in inner:
                all_actions.append(f"{names[box]} {names[box + offset]}")
    return tuple(all_actions)


def read_push(words: str) -> str | None:
    """Parse a push and spell it in its one way; None if the words are something else."""
    match = _ACTION.fullmatch(words)
    return "({},{}) ({},{})".format(*map(int, match.groups())) if match else None


@lru_cache(maxsize=1 << 12)  # `legal`, `step` and `value` use it
def named(room: Room, boxes: tuple[int, ...], walker: int) -> Mapping[str, Push]:
    """Name the possible pushes, in the order of `actions`."""
    names = cell_names(room.size, room.size)
    return {f"{names[push.box]} {names[push.to]}": push for push in pushes(room, boxes, walker)}
