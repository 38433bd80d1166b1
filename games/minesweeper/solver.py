"""Inference from the numbers on a board of Minesweeper: certain mines, safe cells, and risks.

Two rules find mines and safe cells. `full`: a number with as many hidden neighbours as mines makes all of
them mines. `safe` then compares one number with its known mines, or two numbers whose unknown cells lie
within each other. Where neither helps, `risks` counts all layouts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import comb
from typing import NamedTuple

from vlm_gym.dice import Dice

from .board import HIDDEN, around, opened


class Proof(NamedTuple):
    """Why a cell is safe: by the number at `one`, alone or with the number at `other`; all are cells."""

    one: int
    other: int | None
    safe: int


def numbers(shown: bytes, size: int) -> Iterator[tuple[int, frozenset[int]]]:
    """Yield each number with hidden neighbours, in reading order, and these neighbours."""
    for cell, number in enumerate(shown):
        if number != HIDDEN:
            hidden = frozenset([near for near in around(size)[cell] if shown[near] == HIDDEN])
            if hidden:
                yield cell, hidden


@lru_cache(maxsize=1 << 12)  # `safe` and the sentences of a proof need it
def full(shown: bytes, size: int) -> Mapping[int, int]:
    """Map each cell that is a mine by a single number to the first such number in reading order."""
    number_by_mine: dict[int, int] = {}
    for cell, hidden in numbers(shown, size):
        if len(hidden) == shown[cell]:
            for mine in sorted(hidden):
                number_by_mine.setdefault(mine, cell)
    return number_by_mine


@lru_cache(maxsize=1 << 12)  # `think` and `facts` use it
def safe(shown: bytes, size: int) -> tuple[Proof, ...]:
    """List the proofs that a cell is safe: those by one number first, each kind in reading order."""
    mines = full(shown, size)
    open_ends = []  # cell of a number, how many of its mines are not found, cells that may hold them
    for cell, hidden in numbers(shown, size):
        unknown = hidden - mines.keys()
        if unknown:
            known = len(hidden) - len(unknown)
            open_ends.append((cell, shown[cell] - known, unknown))
    proofs = list[Proof]()
    for one, lacks, cells in open_ends:
        if lacks == 0:
            proofs += [Proof(one, None, cell) for cell in sorted(cells)]
    for one, lacks, cells in open_ends:
        for other, others_lack, other_cells in open_ends:
            # The cells of one lie within those of the other, and hold all mines of both: the rest is safe.
            if lacks == others_lack > 0 and cells < other_cells:
                proofs += [Proof(one, other, cell) for cell in sorted(other_cells - cells)]
    return tuple(proofs)


def solvable(shown: bytes, mines: frozenset[int], size: int) -> bool:
    """Check that the two rules open every cell without a mine: no guess is needed."""
    while shown.count(HIDDEN) > len(mines):
        proofs = safe(shown, size)
        if not proofs:
            return False
        for proof in proofs:
            shown = opened(shown, mines, size, proof.safe)
    return True


class _Layouts(NamedTuple):
    """All layouts of the mines beside numbers, sorted by how many mines lie there."""

    border: tuple[int, ...]
    """Hidden cells beside a number."""
    beyond: tuple[int, ...]
    """All other hidden cells."""
    by_count: Mapping[int, tuple[frozenset[int], ...]]

    def weights(self, mines: int) -> dict[int, int]:
        """Count, for each number of mines at the border, the layouts of the whole board."""
        weights = {}
        for count, layouts in self.by_count.items():
            if 0 <= mines - count <= len(self.beyond):
                weights[count] = len(layouts) * comb(len(self.beyond), mines - count)
        return weights


@lru_cache(maxsize=1 << 10)  # `risks` and `redrawn` need it
def _layouts(shown: bytes, size: int, mines: int) -> _Layouts:
    lacking: dict[int, int] = {}  # by the cell of a number: how many of its mines are not placed
    undecided: dict[int, int] = {}  # by the cell of a number: how many of its neighbours are not decided
    in_order = dict[int, None]()  # a set that keeps the order
    for cell, hidden in numbers(shown, size):
        lacking[cell] = shown[cell]
        undecided[cell] = len(hidden)
        in_order |= dict.fromkeys(sorted(hidden))
    border = list(in_order)
    by_count: dict[int, list[frozenset[int]]] = {}
    chosen: list[int] = []

    def place_mines(index: int) -> None:
        """Decide one cell after another; a number must be able to get its mines from the cells to come."""
        if index == len(border):
            by_count.setdefault(len(chosen), []).append(frozenset(chosen))
            return
        cell = border[index]
        beside = [number for number in around(size)[cell] if number in lacking]
        for number in beside:
            undecided[number] -= 1
        for mine in (0, 1):
            if len(chosen) + mine > mines:
                continue
            for number in beside:
                lacking[number] -= mine
            chosen.extend([cell] * mine)
            if all(0 <= lacking[number] <= undecided[number] for number in beside):
                place_mines(index + 1)
            if mine:
                chosen.pop()
            for number in beside:
                lacking[number] += mine
        for number in beside:
            undecided[number] += 1

    place_mines(0)
    beyond = []
    for cell, number in enumerate(shown):
        if number == HIDDEN and cell not in in_order:
            beyond.append(cell)
    return _Layouts(
        tuple(border), tuple(beyond), {count: tuple(layouts) for count, layouts in by_count.items()}
    )


@lru_cache(maxsize=1 << 10)  # `values`, `think` and `facts` use it
def risks(shown: bytes, size: int, mines: int) -> Mapping[int, float]:
    """Compute the chance of a mine in every hidden cell, if all layouts that fit are equally likely."""
    layouts = _layouts(shown, size, mines)
    weights = layouts.weights(mines)
    total = sum(weights.values())
    # By cell: the layouts of the whole board that have a mine there.
    mined: Counter[int] = Counter()
    mines_beyond = 0  # over all layouts of the whole board
    for count, weight in weights.items():
        beyond = comb(len(layouts.beyond), mines - count)
        for layout in layouts.by_count[count]:
            for cell in layout:
                mined[cell] += beyond
        mines_beyond += (mines - count) * weight
    risk = {cell: mined[cell] / total for cell in layouts.border}
    for cell in layouts.beyond:
        risk[cell] = mines_beyond / len(layouts.beyond) / total
    return dict(sorted(risk.items()))


def redrawn(shown: bytes, size: int, mines: int, dice: Dice) -> frozenset[int]:
    """Draw mines that fit all that is shown, each layout with equal chance."""
    layouts = _layouts(shown, size, mines)
    weights = layouts.weights(mines)
    pick = dice.below(sum(weights.values()))
    for count, weight in weights.items():
        if pick < weight:
            beyond = list(layouts.beyond)
            dice.shuffle(beyond)
            return dice.choice(layouts.by_count[count]) | frozenset(beyond[: mines - count])
        pick -= weight
    raise AssertionError("the pick is below the sum of the weights")
