"""Boards of 2048: how they slide. A board is bytes, row by row: 0 is an empty cell, e a tile of 2^e."""

import re
from collections.abc import Mapping
from functools import lru_cache

from vlm_gym.dice import Dice

ACTIONS = ("up", "right", "down", "left")
EQUAL = re.compile(rb"(.)\1", re.DOTALL)


def merging(line: bytes) -> list[int]:
    """List the tiles that merge in pairs, each once at most and those nearest the start of the line first."""
    return [pair[0] for pair in EQUAL.findall(line.replace(b"\0", b""))]


@lru_cache(maxsize=1 << 13)  # boards of an episode share most of their lines
def slide(line: bytes) -> tuple[bytes, int]:
    """Slide a line to its start, and count the points that merging scores."""
    tiles = line.replace(b"\0", b"")
    slid = EQUAL.sub(lambda pair: bytes([pair[1][0] + 1]), tiles)
    # Tiles hold powers of two: a pair of 2^tile merges into 2 << tile, which is what it scores.
    points = sum([2 << tile for tile in merging(line)])
    return slid.ljust(len(line), b"\0"), points


def turned(cells: bytes, size: int, action: str) -> bytes:
    """Turn the board so that the action slides every row to its start; once more turns it back."""
    if action in ("up", "down"):
        cells = b"".join([cells[column::size] for column in range(size)])
    return cells[::-1] if action in ("right", "down") else cells


@lru_cache(maxsize=1 << 10)  # rules, solver and thought of a turn use the same board
def moves(cells: bytes, size: int) -> Mapping[str, tuple[bytes, int]]:
    """Find what each move that changes the board makes of it, before any new tile, and the points scored."""
    results = {}
    for action in ACTIONS:
        board = turned(cells, size, action)
        slid = b""
        points = 0
        for start in range(0, size**2, size):
            line, scored = slide(board[start : start + size])
            slid += line
            points += scored
        after = turned(slid, size, action)
        if after != cells:
            results[action] = after, points
    return results


def empty_cells(cells: bytes) -> list[int]:
    """List the empty cells, row by row from 0."""
    return [cell for cell, tile in enumerate(cells) if not tile]


def drop(cells: bytes, fours: float, dice: Dice) -> bytes:
    """Return the cells with a new tile on a random empty cell: a 4 with probability `fours`, else a 2."""
    cell = dice.choice(empty_cells(cells))
    tile = b"\2" if dice.chance(fours) else b"\1"
    return cells[:cell] + tile + cells[cell + 1 :]


def reached(cells: bytes, target: int) -> bool:
    """Return whether a tile of the target or more is on the board. A target of 0 is never reached."""
    return 0 < target <= 1 << max(cells)
