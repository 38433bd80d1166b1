"""Deals that can be cleared, and careless play, which shows how easily."""

from vlm_gym.dice import Dice

from .paths import Board, links, take


def deal(tiles: bytes, cols: int, bends: int, dice: Dice) -> bytes:
    """Lay out tiles at random, on a board that can be cleared.

    Careless play shows the way. Where it gets stuck, the tiles left are laid out anew: what was taken before
    can still be taken, since the kinds of tiles in the way do not matter.
    """
    board, left = bytearray(tiles), bytearray(tiles)
    while cells := [cell for cell, kind in enumerate(left) if kind]:
        kinds = [left[cell] for cell in cells]
        dice.shuffle(kinds)
        for cell, kind in zip(cells, kinds, strict=True):
            board[cell] = left[cell] = kind
        left = bytearray(careless(left, cols, bends, dice))
    return bytes(board)


def careless(board: Board, cols: int, bends: int, dice: Dice | None = None) -> bytes:
    """Take all pairs there are, in reading order or as dice fall, again and again; return what is left."""
    while found := links(board, cols, bends):
        if dice:
            dice.shuffle(found)
        board = take(board, found)
    return bytes(board)
