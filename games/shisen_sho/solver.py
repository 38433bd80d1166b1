"""Can a board still be cleared? Many games of careful play, in the hope that one of them clears it.

Taking tiles away only opens paths. So a kind whose tiles can all go now may go at no risk, and what matters
is which tiles go together, never when.
"""

from collections.abc import Iterator
from functools import lru_cache
from operator import itemgetter

from vlm_gym.dice import Dice

from .deal import careless
from .paths import Link, count, links, take

PATIENCE = 2
"""Games for each tile on the board before it is given up."""
HAIR = 1e-6
"""What a place in the order of nearness is worth; tiles are worth far more."""


def judge(board: bytes, cols: int, bends: int, until_clear: bool = False) -> Iterator[tuple[Link, float]]:
    """Judge each link by the share of tiles that can go with it, and by a hair more the nearer it is.

    The nearest comes first: the one with the fewest turns, then with the least distance. The share is 1 if a
    way to clear the board is found, else what careless play takes. `until_clear` stops at the first such.
    """
    hopeful = can_clear(board, cols, bends)
    for rank, link in enumerate(sorted(links(board, cols, bends), key=itemgetter(2, 3))):
        after = take(board, [link])
        clear = hopeful and can_clear(after, cols, bends)
        share = 1 if clear else 1 - count(careless(after, cols, bends)) / count(board)
        yield link, share * (1 - HAIR * rank)
        if clear and until_clear:
            return


@lru_cache(maxsize=4096)
def can_clear(board: bytes, cols: int, bends: int) -> bool:
    """Say whether a way to clear the board is found; False may also mean that patience ran out."""
    if not any(careless(board, cols, bends)):
        return True
    games = 0 if _hopeless(board, cols, bends) else PATIENCE * count(board)
    return any(_careful(board, cols, bends, Dice(game)) for game in range(games))


def _hopeless(board: bytes, cols: int, bends: int) -> bool:
    """Say whether tiles stay even if each one that is linked once may go, and still be a partner."""
    walls = bytearray(board)
    while gone := [cell for link in links(board, cols, bends, walls) for cell in link[:2] if walls[cell]]:
        for cell in gone:
            walls[cell] = 0
    return any(walls)


def _careful(board: bytes, cols: int, bends: int, dice: Dice) -> bool:
    """Take the kinds that can go whole, else a third of the pairs, again and again; say if all tiles went."""
    while found := links(board, cols, bends):
        dice.shuffle(found)
        whole = {*board} - {*take(board, found)}
        some = take(board, found[: 1 + len(found) // 3])
        board = bytes([0 if kind in whole else kind for kind in board]) if whole else some
    return not any(board)
