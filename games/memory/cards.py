"""The cards of Concentration: a shape in a colour each."""

from vlm_gym.scene import COLORS, SHAPES, Symbol

COVER = Symbol("icon", "hidden")
MOST = 24
"""Kinds of cards at most: so many pairs of a shape and a colour differ in both from their neighbours."""
CARDS = (None, *(Symbol("shape", SHAPES[kind % 8], COLORS[kind % 6]) for kind in range(MOST)))
"""What an open card shows, by its byte; 0 for one that was taken."""


def card_name(kind: int) -> str:
    """Name a card that was not taken, by its byte."""
    card = CARDS[kind]
    assert card is not None
    return card.words
