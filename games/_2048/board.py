"""Boards of 2048 as `bytes`, row by row from the top left: 0 is an empty cell, e is a tile of 2^e."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from vlm_gym.dice import Dice

ACTIONS = ("up", "right", "down", "left")


class Move(NamedTuple):
    """A board or line after a slide, before any new tile; the points, and the tiles that merging made."""

    cells: bytes
    points: int
    made: bytes


@lru_cache(maxsize=1 << 13)
def slide(line: bytes) -> Move:
    """Slide a line to its start; every tile merges once at most, those nearest the start first."""
    tiles, slid, made, at = line.replace(b"\0", b""), bytearray(), bytearray(), 0
    while at < len(tiles):
        merges = tiles[at : at + 1] == tiles[at + 1 : at + 2]
        slid.append(tiles[at] + merges)
        made += slid[-1:] * merges
        at += 1 + merges
    return Move(bytes(slid.ljust(len(line), b"\0")), sum(1 << power for power in made), bytes(made))


def turned(cells: bytes, size: int, action: str) -> bytes:
    """Turn the board so that the action slides every row to its start; once more turns it back."""
    if action in ("up", "down"):
        cells = b"".join([cells[column::size] for column in range(size)])
    return cells[::-1] if action in ("right", "down") else cells


@lru_cache(maxsize=1 << 10)
def moves(cells: bytes, size: int) -> Mapping[str, Move]:
    """Find every move that changes the board, in the order of `ACTIONS`."""
    found = {}
    for action in ACTIONS:
        board = turned(cells, size, action)
        lines, points, made = zip(
            *[slide(board[at : at + size]) for at in range(0, size**2, size)], strict=True
        )
        after = turned(b"".join(lines), size, action)
        if after != cells:
            found[action] = Move(after, sum(points), b"".join(made))
    return found


def drop(cells: bytes, fours: float, dice: Dice) -> bytes:
    """Put a new tile on an empty cell: a 4 with the chance `fours`, else a 2."""
    place = dice.choice([place for place, power in enumerate(cells) if not power])
    return cells[:place] + (b"\2" if dice.chance(fours) else b"\1") + cells[place + 1 :]


def reached(cells: bytes, target: int) -> bool:
    """Tell whether a tile of the target or more is on the board; a target of 0 never is."""
    return 0 < target <= 1 << max(cells)
