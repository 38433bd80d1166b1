"""Openings of Connect Four: discs dropped by chance, without a line."""

from collections.abc import Sequence

from vlm_gym.dice import DEAL, Dice

from .board import THEY, YOU, Shape, drop
from .knobs import Knobs


def deal(seed: int, knobs: Knobs) -> bytes:
    """Return the board at the start. An opponent that begins has dropped one disc more."""
    dice = Dice(seed, DEAL)
    opponent_first = knobs.first == "opponent" or (knobs.first == "either" and dice.chance(0.5))
    players = [YOU, THEY] * knobs.opening + [THEY] * opponent_first
    while True:
        cells = _dealt(players, knobs.shape, dice)
        if cells is not None:
            return cells


def _dealt(players: Sequence[int], shape: Shape, dice: Dice) -> bytes | None:
    """Drop a disc of each player by chance; None if that makes a line or meets a full column."""
    cells = bytes(shape.rows * shape.cols)
    for player in players:
        col = dice.below(shape.cols)
        if cells[col]:
            return None
        cells, line = drop(cells, col, player, shape)
        if line:
            return None
    return cells
