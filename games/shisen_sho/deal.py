"""Deals of Shisen-Sho: which kinds of tiles, and where they lie."""

from collections.abc import Sequence

from vlm_gym.dice import Dice

from .knobs import WHOLE, ShisenShoKnobs
from .solver import careless, deal


def draw_kinds(knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
    """Draw the kinds of a deal. The first six of the whole deck differ in both shape and colour."""
    shapes = list(range(6))
    colors = list(range(6))
    whole = knobs.deck == WHOLE
    if whole:
        dice.shuffle(shapes)
        dice.shuffle(colors)
    deck = [1 + 6 * shapes[n % 6] + colors[(n + n // 6) % 6] for n in range(knobs.deck)]
    if not whole:
        dice.shuffle(deck)
    return deck[: knobs.kinds]


def lay_out(kinds: Sequence[int], knobs: ShisenShoKnobs, dice: Dice) -> bytes:
    """Lay out tiles of these kinds on a board that can be cleared.

    It is the first of `draws` boards on which taking the first pair each time gets stuck, else the last one.
    """
    tiles = bytearray([kinds[tile // 2 % knobs.kinds] for tile in range(knobs.tiles)])
    tiles += bytes(knobs.holes)
    if knobs.holes:  # without any, `deal` alone shuffles
        dice.shuffle(tiles)
    cells = deal(tiles, knobs.cols, knobs.bends, dice)
    for _ in range(knobs.draws - 1):
        if any(careless(cells, knobs.cols, knobs.bends)):
            break
        cells = deal(tiles, knobs.cols, knobs.bends, dice)
    return cells
