"""Deals of Concentration, and deals that look the same to the player."""

from vlm_gym.dice import DEAL, Dice

from .cards import MOST
from .state import MemoryKnobs


def deal(seed: int, knobs: MemoryKnobs) -> bytes:
    """Draw the kinds of cards, and shuffle the pairs; a byte a card, by its kind."""
    dice = Dice(seed, DEAL)
    pairs = knobs.rows * knobs.cols // 2
    faces = [*range(1, MOST + 1)]
    dice.shuffle(faces)
    cards = [faces[pair % knobs.kinds] for pair in range(pairs)] * 2
    dice.shuffle(cards)
    return bytes(cards)


def redrawn(cells: bytes, seen: bytes, dice: Dice) -> bytes:
    """Shuffle the cards that were never shown, and redraw the kinds of which none was shown."""
    hidden = [place for place, known in enumerate(seen) if not known]
    kinds = [cells[place] for place in hidden]
    dice.shuffle(kinds)
    shown = {cells[place] for place, known in enumerate(seen) if known}
    faces = [face for face in range(1, MOST + 1) if face not in shown]
    dice.shuffle(faces)
    drawn = dict(zip(sorted(set(kinds) - shown), faces, strict=False))
    after = bytearray(cells)
    for place, kind in zip(hidden, kinds, strict=True):
        after[place] = drawn.get(kind, kind)
    return bytes(after)
