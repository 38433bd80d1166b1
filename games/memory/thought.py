"""Thoughts for Concentration: the mate of an open card, else a pair that was seen, else a new card.

A thought uses the cards that lie open and those that were shown before. A card is named by its cell, row by
row from 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from vlm_gym.cells import cell_names
from vlm_gym.thought import Thought, parse_sentence

OPEN = "{tile} is open at {cell}"
WAS = "{tile} was at {cell}"
ALONE = "no other {tile} was seen"
NO_PAIR = "no pair was seen"
NEW = "{cell} is new"
GRAMMAR = (OPEN, WAS, ALONE, NO_PAIR, NEW)


class Known(NamedTuple):
    """What the player has been shown, with the words of each card, in reading order."""

    rows: int
    cols: int
    open: Mapping[int, str]
    """Cards that lie open, none equal to another."""
    covered: Mapping[int, str]
    """Cards that were shown and are covered again."""
    new: tuple[int, ...]
    """Cards that were never shown."""
    room: int
    """Cards that can still be turned before the open ones are covered; all, if the next turn does so."""

    def mates(self, tile: str) -> list[int]:
        """List the covered cards with these words."""
        return [cell for cell, other in self.covered.items() if other == tile]

    def pair(self) -> list[int]:
        """Return the first two equal cards that are covered; none where there are no two."""
        for tile in self.covered.values():
            if len(self.mates(tile)) > 1:
                return self.mates(tile)[:2]
        return []


def think(known: Known) -> Thought:
    """Return the thought where some card can be turned."""
    steps = tuple(_steps(known))
    action = conclude(steps)
    assert action is not None
    return Thought(steps, action, judged(known)[cell_names(known.rows, known.cols).index(action)])


def facts(known: Known) -> frozenset[str]:
    """Return all true sentences."""
    names = cell_names(known.rows, known.cols)
    sentences: list[str] = []
    for cell, tile in known.open.items():
        sentences.append(f"{tile} is open at {names[cell]}")
        if not known.mates(tile):
            sentences.append(f"no other {tile} was seen")
    for cell, tile in known.covered.items():
        sentences.append(f"{tile} was at {names[cell]}")
    for cell in known.new:
        sentences.append(f"{names[cell]} is new")
    if not known.pair():
        sentences.append(NO_PAIR)
    return frozenset(sentences)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the mate of an open card, the first card of a pair that was seen, or a new card."""
    opened: list[str] = []
    earlier: dict[str, str] = {}
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (tile, _)) if template == OPEN:
                opened.append(tile)
            case (template, (tile, cell)) if template == WAS:
                if tile in opened:
                    return cell
                if tile in earlier:
                    return earlier[tile]
                earlier[tile] = cell
            case (template, (cell,)) if template == NEW:
                return cell
    return None


def judged(known: Known) -> dict[int, float]:
    """Judge the cards that can be turned: 1 for a pair that is sure, 0.5 for a new card, else 0."""
    values = {**dict.fromkeys(known.covered, 0.0), **dict.fromkeys(known.new, 0.5)}
    for cell, tile in known.covered.items():
        if tile in known.open.values() or (known.room > 1 and len(known.mates(tile)) > 1):
            values[cell] = 1.0
    return dict(sorted(values.items()))


def _steps(known: Known) -> Iterator[str]:
    """Yield the sentences of the thought, up to the one that names the card to turn."""
    names = cell_names(known.rows, known.cols)
    for cell, tile in known.open.items():
        yield f"{tile} is open at {names[cell]}"
        if mates := known.mates(tile):
            yield f"{tile} was at {names[mates[0]]}"
            return
        yield f"no other {tile} was seen"
    if known.room > 1:  # a pair takes two turns before the open cards are covered
        for cell in known.pair():
            yield f"{known.covered[cell]} was at {names[cell]}"
        if known.pair():
            return
        yield NO_PAIR
    yield f"{names[known.new[0]]} is new"
