"""Boards of 2048: how they slide, and how good a slide is. Cell 0 is empty, cell e holds a tile of 2^e."""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

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
    """Put a new tile on an empty cell: a 4 with the chance `fours`, else a 2."""
    place = dice.choice([place for place, tile in enumerate(cells) if not tile])
    return cells[:place] + (b"\2" if dice.chance(fours) else b"\1") + cells[place + 1 :]


def reached(cells: bytes, target: int) -> bool:
    """Tell whether a tile of the target or more is on the board; a target of 0 never is."""
    return 0 < target <= 1 << max(cells)


@lru_cache(maxsize=1 << 12)
def worth(cells: bytes, points: int, size: int, fours: float, depth: int = 0) -> float:
    """Judge a slide by expectimax: my best replies, averaged over every new tile that may come."""
    places, total = [place for place, tile in enumerate(cells) if not tile], 0.0
    # The second reply is looked at only where the board is about to fill up: cheap there, and it matters.
    if depth == 2 or (depth and len(places) > 1):
        rows = sum([order(cells[place : place + size]) for place in range(0, size**2, size)])
        return rows + sum([order(cells[column::size]) for column in range(size)]) + points / 50
    for place in places:
        for tile, chance in ((b"\1", 1 - fours), (b"\2", fours)):
            if chance:
                replies = moves(cells[:place] + tile + cells[place + 1 :], size).values()
                # No reply at all is worth less than any other.
                total += chance * max([worth(*to, size, fours, depth + 1) for to in replies], default=-200)
    return total / len(places) + points / 50


@lru_cache(maxsize=1 << 13)
def order(line: bytes) -> float:
    """Judge one row or column by room, equal neighbours and order, after an idea of Robert Xiao (2014)."""
    falls = rises = pairs = 0
    for one, other in pairwise(line):
        pairs += one == other != 0
        # Squares: disorder among high tiles is harder to undo.
        falls += max(0, one * one - other * other)
        rises += max(0, other * other - one * one)
    return 0.27 * line.count(0) + 0.7 * pairs - min(falls, rises)
