"""Boards of 2048: how they slide. Cell 0 is empty, cell e holds a tile of 2^e."""

import re
from collections.abc import Mapping
from functools import lru_cache

from vlm_gym.dice import Dice

ACTIONS = ("up", "right", "down", "left")
EQUAL = re.compile(rb"(.)\1", re.DOTALL)


def merging(line: bytes) -> list[int]:
    """List the tiles that merge in pairs, each once at most and those nearest the start of the line first."""
    return [pair[0] for pair in EQUAL.findall(line.replace(b"\0", b""))]


@lru_cache(maxsize=1 << 13)
def slide(line: bytes) -> tuple[bytes, int]:
    """Slide a line to its start, and count the points that merging scores."""
    slid = EQUAL.sub(lambda pair: bytes([pair[1][0] + 1]), line.replace(b"\0", b""))
    return slid.ljust(len(line), b"\0"), sum([2 << tile for tile in merging(line)])


def turned(cells: bytes, size: int, action: str) -> bytes:
    """Turn the board so that the action slides every row to its start; once more turns it back."""
    if action in ("up", "down"):
        cells = b"".join([cells[column::size] for column in range(size)])
    return cells[::-1] if action in ("right", "down") else cells


@lru_cache(maxsize=1 << 10)
def moves(cells: bytes, size: int) -> Mapping[str, tuple[bytes, int]]:
    """Find what each move that changes the board makes of it, before any new tile, and the points scored."""
    found = {}
    for action in ACTIONS:
        board = turned(cells, size, action)
        lines, points = zip(*[slide(board[at : at + size]) for at in range(0, size**2, size)], strict=True)
        after = turned(b"".join(lines), size, action)
        if after != cells:
            found[action] = after, sum(points)
    return found


def drop(cells: bytes, fours: float, dice: Dice) -> bytes:
    """Return the cells with a new tile on a random empty cell: a 4 with probability `fours`, else a 2."""
    place = dice.choice([place for place, tile in enumerate(cells) if not tile])
    return cells[:place] + (b"\2" if dice.chance(fours) else b"\1") + cells[place + 1 :]


def reached(cells: bytes, target: int) -> bool:
    """Return whether a tile of the target or more is on the board. A target of 0 is never reached."""
    return 0 < target <= 1 << max(cells)
