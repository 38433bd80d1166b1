"""Deals of Minesweeper: mines about an open first cell, on request so that no guess is needed."""

from functools import lru_cache

from vlm_gym.dice import DEAL, Dice

from .board import HIDDEN, around, opened
from .solver import solvable
from .state import MinesweeperKnobs

PATIENCE = 2_000
"""Layouts tried for one that needs no guess."""


@lru_cache(maxsize=1 << 10)  # a deal is made once to find its split and again to play it
def laid(seed: int, knobs: MinesweeperKnobs) -> tuple[tuple[int, ...], bytes]:
    """Lay the mines of a deal and open its first cell, which has no mine about it.

    Raises `ValueError` if no layout of many needs no guess.
    """
    dice = Dice(seed, DEAL)
    for _ in range(PATIENCE):
        first = dice.below(knobs.size**2)
        free = {first, *around(knobs.size)[first]}
        candidates = [cell for cell in range(knobs.size**2) if cell not in free]
        dice.shuffle(candidates)
        mines = frozenset(candidates[: knobs.mines])
        shown = opened(bytes([HIDDEN]) * knobs.size**2, mines, knobs.size, first)
        won = shown.count(HIDDEN) == knobs.mines
        if not won and (knobs.guesses == "some" or solvable(shown, mines, knobs.size)):
            return tuple(sorted(mines)), shown
    raise ValueError(f"no deal of {knobs} without a guess is found; take fewer mines, or guesses=some")
