"""Boards of 2048 as `bytes`, row by row from the top left: 0 is an empty cell, e is a tile of 2^e."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from vlm_gym.dice import Dice

ACTIONS = ("up", "right", "down", "left")


class Slide(NamedTuple):
    """A line after sliding to its start, the points of its merges, and the bytes of the tiles they made."""

    line: bytes
    points: int
    made: bytes


class Move(NamedTuple):
    """The board after a move and before the new tile, and the points of its merges."""

    cells: bytes
    points: int


@lru_cache(maxsize=1 << 13)
def slide(line: bytes) -> Slide:
    """Slide a line to its start; every tile merges once at most, those nearest the start first."""
    tiles, slid, made = line.replace(b"\0", b""), bytearray(), bytearray()
    at = 0
    while at < len(tiles):
        merges = tiles[at : at + 1] == tiles[at + 1 : at + 2]
        slid.append(tiles[at] + merges)
        made += slid[-1:] * merges
        at += 1 + merges
    return Slide(bytes(slid.ljust(len(line), b"\0")), sum(1 << power for power in made), bytes(made))


def turned(cells: bytes, size: int) -> bytes:
    """Swap rows and columns."""
    return b"".join([cells[column::size] for column in range(size)])


def push(cells: bytes, size: int) -> tuple[bytes, int]:
    """Slide every row to its start."""
    slides = [slide(cells[place : place + size]) for place in range(0, size * size, size)]
    return b"".join([one.line for one in slides]), sum([one.points for one in slides])


@lru_cache(maxsize=1 << 10)
def moves(cells: bytes, size: int) -> Mapping[str, Move]:
    """Find every move that changes the board, in the order of `ACTIONS`."""
    across = turned(cells, size)
    # Reversed, a board has its rows in the other order and every row the other way round.
    pushed = [push(board, size) for board in (across, cells[::-1], across[::-1], cells)]
    (up, _), (right, _), (down, _), (left, _) = pushed
    boards = (turned(up, size), right[::-1], turned(down[::-1], size), left)
    return {
        action: Move(board, points)
        for action, board, (_, points) in zip(ACTIONS, boards, pushed, strict=True)
        if board != cells
    }


def lines(cells: bytes, size: int, action: str) -> list[bytes]:
    """List the rows or columns along which an action slides, each from the end that it slides to."""
    board = turned(cells, size) if action in ("up", "down") else cells
    way = -1 if action in ("right", "down") else 1
    return [board[place : place + size][::way] for place in range(0, size * size, size)]


def drop(cells: bytes, fours: float, dice: Dice) -> bytes:
    """Put a new tile on an empty cell: a 4 with the chance `fours`, else a 2."""
    place = dice.choice([place for place, power in enumerate(cells) if not power])
    return cells[:place] + (b"\2" if dice.chance(fours) else b"\1") + cells[place + 1 :]


def reached(cells: bytes, target: int) -> bool:
    """Tell whether a tile of the target or more is on the board; a target of 0 never is."""
    return 0 < target <= 1 << max(cells)
