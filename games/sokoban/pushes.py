"""How pushes are written: a box, and the cell next to it, as in ``(3,2) (3,3)``."""

import re
from collections.abc import Mapping
from functools import lru_cache

from vlm_gym.cells import cell_names

from .room import Push, Room, pushes

_ACTION = re.compile(r"\s*\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)" * 2 + r"\s*", re.ASCII)


def actions(size: int) -> tuple[str, ...]:
    """Name all pushes that can ever be legal."""
    name = cell_names(size, size)
    inner: list[int] = []
    for row in range(1, size - 1):
        inner += [row * size + col for col in range(1, size - 1)]
    found: list[str] = []
    for box in inner:
        for step in (-size, -1, 1, size):
            if box + step in inner:
                found.append(f"{name[box]} {name[box + step]}")
    return tuple(found)


def read_push(words: str) -> str | None:
    """Parse a push and spell it in its one way; None for what is none."""
    match = _ACTION.fullmatch(words)
    return "({},{}) ({},{})".format(*map(int, match.groups())) if match else None


@lru_cache(maxsize=1 << 12)
def named(room: Room, boxes: tuple[int, ...], walker: int) -> Mapping[str, Push]:
    """Name the possible pushes, in the order of `actions`."""
    name = cell_names(room.size, room.size)
    return {f"{name[push.box]} {name[push.to]}": push for push in pushes(room, boxes, walker)}
