"""Deals that can be cleared, and whether a board still can: by much play, careless and careful.

Taking tiles away only opens paths. So a kind whose tiles can all go now may go at no risk, and what matters
is which tiles go together, never when.
"""

from functools import lru_cache
from operator import attrgetter

from vlm_gym.dice import Dice

from .paths import Cells, Link, links, take

PATIENCE = 2
"""Careful games for each tile of a board before it is given up."""
HAIR = 1e-6
"""What a place in the order of nearness is worth; tiles are worth far more."""


def deal(tiles: Cells, cols: int, bends: int, dice: Dice) -> bytes:
    """Lay out tiles at random in the places that have any, on a board that can be cleared.

    Careless play shows the way. Where it gets stuck, the tiles left are laid out anew: what was taken before
    can still be taken, since the kinds of tiles in the way do not matter.
    """
    cells, left = bytearray(tiles), bytearray(tiles)
    while places := [place for place, kind in enumerate(left) if kind]:
        kinds = [left[place] for place in places]
        dice.shuffle(kinds)
        for place, kind in zip(places, kinds, strict=True):
            cells[place] = left[place] = kind
        left = bytearray(careless(left, cols, bends, dice))
    return bytes(cells)


def careless(cells: Cells, cols: int, bends: int, dice: Dice | None = None) -> bytes:
    """Take the first pair again and again, or with dice, all in random order; return what is left."""
    while found := links(cells, cols, bends):
        if dice:
            dice.shuffle(found)
        cells = take(cells, found if dice else found[:1])
    return bytes(cells)


@lru_cache(maxsize=512)
def nearest(cells: bytes, cols: int, bends: int) -> tuple[Link, ...]:
    """List links, those with the fewest turns first, and of these the ones with the least distance."""
    return tuple(sorted(links(cells, cols, bends), key=attrgetter("turns", "distance")))


def judge(link: Link, rank: int, cells: bytes, cols: int, bends: int) -> float:
    """Judge a link by the share of tiles that can go with it, less a hair for each link that is nearer.

    The share is 1 if a way to clear the board is found, else what careless play takes.
    """
    after, empty = take(cells, [link]), cells.count(0)
    clear = can_clear(cells, cols, bends) and can_clear(after, cols, bends)
    gone = len(cells) if clear else careless(after, cols, bends, Dice(0)).count(0)
    return (gone - empty) / (len(cells) - empty) * (1 - HAIR * rank)


@lru_cache(maxsize=4096)
def can_clear(cells: bytes, cols: int, bends: int) -> bool:
    """Say whether a way to clear the board is found; False may also mean that patience ran out."""
    if not any(cells):
        return True
    if _careful(cells, cols, bends, Dice(0)):  # as most boards are cleared
        return True
    games = 0 if _hopeless(cells, cols, bends) else PATIENCE * (len(cells) - cells.count(0))
    return any(_careful(cells, cols, bends, Dice(game)) for game in range(1, games))


def _hopeless(cells: bytes, cols: int, bends: int) -> bool:
    """Say whether tiles stay even if each one that is linked once may go, and still be a partner."""
    walls = bytearray(cells)
    while gone := [cell for link in links(cells, cols, bends, walls) for cell in link[:2] if walls[cell]]:
        for cell in gone:
            walls[cell] = 0
    return any(walls)


def _careful(cells: bytes, cols: int, bends: int, dice: Dice) -> bool:
    """Take the kinds that can go whole, else a third of the pairs, again and again; say if all tiles went."""
    while found := links(cells, cols, bends):
        dice.shuffle(found)
        whole = {*cells} - {*take(cells, found)}
        some = take(cells, found[: 1 + len(found) // 3])
        cells = bytes([0 if kind in whole else kind for kind in cells]) if whole else some
    return not any(cells)
