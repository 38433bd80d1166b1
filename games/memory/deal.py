"""Deals of Concentration, and deals that look the same to the player."""

from vlm_gym.dice import DEAL, Dice

from .cards import KINDS
from .state import MemoryKnobs


def deal(seed: int, knobs: MemoryKnobs) -> bytes:
    """Draw the kinds of cards, and shuffle the pairs; a byte a card, by its kind."""
    dice = Dice(seed, DEAL)
    pairs = knobs.rows * knobs.cols // 2
    kinds = [*range(1, KINDS + 1)]
    dice.shuffle(kinds)
    cards = [kinds[pair % knobs.kinds] for pair in range(pairs)] * 2
    dice.shuffle(cards)
    return bytes(cards)


def redrawn(cells: bytes, seen: bytes, dice: Dice) -> bytes:
    """Shuffle the cards that were never shown, and redraw the kinds of which none was shown."""
    hidden: list[int] = []
    shown_kinds: set[int] = set()
    for cell, shown in enumerate(seen):
        if shown:
            shown_kinds.add(cells[cell])
        else:
            hidden.append(cell)
    kinds = [cells[cell] for cell in hidden]
    dice.shuffle(kinds)
    unused = [kind for kind in range(1, KINDS + 1) if kind not in shown_kinds]
    dice.shuffle(unused)
    # Sorted, since the order of a set differs between processes.
    replaced = sorted(set(kinds) - shown_kinds)
    replacements = dict(zip(replaced, unused, strict=False))
    after = bytearray(cells)
    for cell, kind in zip(hidden, kinds, strict=True):
        after[cell] = replacements.get(kind, kind)
    return bytes(after)
