"""Deals that can be cleared, and a check that a board can be cleared, by random and by careful play.

Taking tiles away only opens paths. So a kind whose tiles can all go now may go at no risk, and what matters
is which tiles go together, never when.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from vlm_gym.dice import Dice

from .paths import Cells, Link, links, take

PATIENCE = 4
"""Search budget: careful games for each tile of a board."""
MANY = 12
"""Tiles of a kind for which all ways to pair them are tried."""


def deal(tiles: Cells, cols: int, bends: int, dice: Dice) -> bytes:
    """Lay out tiles at random in the places that have any, on a board that can be cleared.

    Careless play shows the way. Where it gets stuck, the tiles left are laid out anew: what was taken before
    can still be taken, since the kinds of tiles in the way do not matter.
    """
    cells = bytearray(tiles)
    remaining = bytearray(tiles)
    while any(remaining):
        occupied = [cell for cell, kind in enumerate(remaining) if kind]
        kinds = [remaining[cell] for cell in occupied]
        dice.shuffle(kinds)
        for cell, kind in zip(occupied, kinds, strict=True):
            cells[cell] = kind
            remaining[cell] = kind
        remaining = bytearray(careless(remaining, cols, bends, dice))
    return bytes(cells)


def careless(cells: Cells, cols: int, bends: int, dice: Dice | None = None) -> bytes:
    """Take the first pair again and again, or with dice, all in random order; return what is left."""
    while linked := links(cells, cols, bends):
        if dice:
            dice.shuffle(linked)
            cells = take(cells, linked)
        else:
            cells = take(cells, linked[:1])
    return bytes(cells)


class Layout(NamedTuple):
    """A board and the rule for its paths."""

    cells: bytes
    cols: int
    bends: int


@lru_cache(maxsize=512)
def takeable(layout: Layout) -> tuple[Link, ...]:
    """List the pairs that can be taken, in reading order."""
    return tuple(links(*layout))


@lru_cache(maxsize=512)
def moves(layout: Layout) -> Mapping[str, Link]:
    """Return the pairs that can be taken by their actions, in reading order."""
    return {link.action: link for link in takeable(layout)}


@lru_cache(maxsize=4096)
def whole(layout: Layout, kind: int) -> tuple[Link, ...] | None:
    """Return pairs of all tiles of a kind, each of which a path joins now; None where there are none.

    Of a kind of more than `MANY` tiles, each tile gets the first partner that is left.
    """
    return _match(_tiles(layout, kind), _joined(layout, kind))


def _tiles(layout: Layout, kind: int) -> tuple[int, ...]:
    """List the cells with tiles of a kind, in reading order."""
    return tuple([cell for cell, other in enumerate(layout.cells) if other == kind])


def _joined(layout: Layout, kind: int) -> dict[tuple[int, int], Link]:
    """Return the pairs of a kind that paths join now, by their cells."""
    return {link[:2]: link for link in takeable(layout) if layout.cells[link.first] == kind}


def _match(tiles: tuple[int, ...], joined: dict[tuple[int, int], Link]) -> tuple[Link, ...] | None:
    """Pair all tiles so that each pair is joined; None if no way is found, which for many tiles may exist."""
    if not tiles:
        return ()
    first, *others = tiles
    for other in others:
        link = joined.get((first, other))
        if link is None:
            continue
        rest = _match(tuple([tile for tile in others if tile != other]), joined)
        if rest is not None:
            return (link, *rest)
        if len(tiles) > MANY:
            break  # all ways to pair so many tiles would take too long
    return None


@lru_cache(maxsize=4096)
def safe(layout: Layout, link: Link) -> bool:
    """Return whether a pair may go at no risk, since the rest of its kind makes pairs that paths join now."""
    kind = layout.cells[link.first]
    tiles = _tiles(layout, kind)
    if len(tiles) > MANY:
        return link in (whole(layout, kind) or ())
    others = tuple([tile for tile in tiles if tile not in link[:2]])
    return _match(others, _joined(layout, kind)) is not None


def value(layout: Layout, link: Link) -> float:
    """Return the share of tiles that can go with a pair, in [0, 1], as far as play and search find it."""
    if can_clear(*layout):
        clears = safe(layout, link) or can_clear(take(layout.cells, [link]), *layout[1:])
        return 1.0 if clears else _share(layout, link)
    if safe(layout, link):
        return max(_share(layout, other) for other in takeable(layout))
    return _share(layout, link)


@lru_cache(maxsize=4096)
def _share(layout: Layout, link: Link) -> float:
    """Return the share of tiles that careless play takes, beginning with a pair."""
    after = take(layout.cells, [link])
    empty_before = layout.cells.count(0)
    empty_after = careless(after, layout.cols, layout.bends, Dice(0)).count(0)
    return (empty_after - empty_before) / (len(layout.cells) - empty_before)


@lru_cache(maxsize=4096)
def can_clear(cells: bytes, cols: int, bends: int) -> bool:
    """Return whether a way to clear the board is found. False may also mean that the budget ran out."""
    if not any(cells):
        return True
    if _careful(cells, cols, bends, Dice(0)):  # fast path: most boards are cleared by this
        return True
    games = 0 if _hopeless(cells, cols, bends) else PATIENCE * (len(cells) - cells.count(0))
    return any(_careful(cells, cols, bends, Dice(game)) for game in range(1, games))


def _hopeless(cells: bytes, cols: int, bends: int) -> bool:
    """Return whether tiles remain under relaxed rules, so that the board cannot be cleared.

    Under them, a tile that is linked once is removed from the walls, but remains a partner for others.
    """
    walls = bytearray(cells)
    changed = True
    while changed:
        changed = False
        for link in links(cells, cols, bends, walls):
            for cell in (link.first, link.second):
                if walls[cell]:
                    walls[cell] = 0
                    changed = True
    return any(walls)


def _careful(cells: bytes, cols: int, bends: int, dice: Dice) -> bool:
    """Take the kinds that can go whole, else a third of the pairs, again and again; say if all tiles went."""
    while linked := links(cells, cols, bends):
        dice.shuffle(linked)
        whole_kinds = {*cells} - {*take(cells, linked)}
        if whole_kinds:
            cells = bytes([0 if kind in whole_kinds else kind for kind in cells])
        else:
            cells = take(cells, linked[: 1 + len(linked) // 3])
    return not any(cells)
