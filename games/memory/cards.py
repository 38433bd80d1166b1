"""The cards of Concentration: a shape in a colour each."""

from vlm_gym.scene import COLORS, SHAPES, Symbol

COVER = Symbol("icon", "hidden")
KINDS = 24
"""Kinds of cards: the least common multiple of 8 shapes and 6 colours, so no two kinds are the same card."""
CARDS = (None, *(Symbol("shape", SHAPES[kind % 8], COLORS[kind % 6]) for kind in range(KINDS)))
"""What an open card shows, by its byte; 0 for one that was taken."""


def card_name(kind: int) -> str:
    """Name a card that was not taken, by its byte."""
    card = CARDS[kind]
    assert card is not None
    return card.words
