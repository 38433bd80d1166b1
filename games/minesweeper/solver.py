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
    """Why a cell is safe: by the number at `one`, alone or with the number at `other`. Places from 0."""

    one: int
    other: int | None
    safe: int


def numbers(shown: bytes, size: int) -> Iterator[tuple[int, frozenset[int]]]:
    """Yield each number with hidden neighbours, in reading order, and these neighbours."""
    for place, number in enumerate(shown):
        if number != HIDDEN:
            hidden = frozenset([near for near in around(size)[place] if shown[near] == HIDDEN])
            if hidden:
                yield place, hidden


@lru_cache(maxsize=1 << 12)
def full(shown: bytes, size: int) -> Mapping[int, int]:
    """Map each cell that is a mine by a single number to the first such number in reading order."""
    found: dict[int, int] = {}
    for place, hidden in numbers(shown, size):
        if len(hidden) == shown[place]:
            for mine in sorted(hidden):
                found.setdefault(mine, place)
    return found


@lru_cache(maxsize=1 << 12)
def safe(shown: bytes, size: int) -> tuple[Proof, ...]:
    """List the proofs that a cell is safe: those by one number first, each kind in reading order."""
    mines = full(shown, size)
    open_ends = []  # place of a number, how many of its mines are not found, cells that may hold them
    for place, hidden in numbers(shown, size):
        unknown = hidden - mines.keys()
        if unknown:
            open_ends.append((place, shown[place] - (len(hidden) - len(unknown)), unknown))
    proofs = list[Proof]()
    for one, lacks, cells in open_ends:
        if lacks == 0:
            proofs += [Proof(one, None, cell) for cell in sorted(cells)]
    for one, lacks, cells in open_ends:
        for other, others_lack, other_cells in open_ends:
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
        return {
            count: len(ways) * comb(len(self.beyond), mines - count)
            for count, ways in self.by_count.items()
            if 0 <= mines - count <= len(self.beyond)
        }


@lru_cache(maxsize=1 << 10)
def _layouts(shown: bytes, size: int, mines: int) -> _Layouts:
    lacking = {place: shown[place] for place, _ in numbers(shown, size)}
    beside = [place for place, _ in sorted(numbers(shown, size), key=lambda each: each[0])]
    seen = dict[int, None]()  # a set that keeps the order
    for at in beside:
        seen |= dict.fromkeys([cell for cell in around(size)[at] if shown[cell] == HIDDEN])
    border = list(seen)
    open_cells = {at: len(hidden) for at, hidden in numbers(shown, size)}
    ways: dict[int, list[frozenset[int]]] = {}
    chosen: list[int] = []

    def place_mines(index: int) -> None:
        """Decide one cell after another; a number must be able to get its mines from the cells to come."""
        if index == len(border):
            ways.setdefault(len(chosen), []).append(frozenset(chosen))
            return
        cell = border[index]
        beside_cell = [at for at in around(size)[cell] if at in lacking]
        for at in beside_cell:
            open_cells[at] -= 1
        for mine in (0, 1):
            if len(chosen) + mine > mines:
                continue
            for at in beside_cell:
                lacking[at] -= mine
            chosen.extend([cell] * mine)
            if all(0 <= lacking[at] <= open_cells[at] for at in beside_cell):
                place_mines(index + 1)
            if mine:
                chosen.pop()
            for at in beside_cell:
                lacking[at] += mine
        for at in beside_cell:
            open_cells[at] += 1

    place_mines(0)
    known = set(border)
    beyond = [cell for cell, number in enumerate(shown) if number == HIDDEN and cell not in known]
    return _Layouts(tuple(border), tuple(beyond), {count: tuple(found) for count, found in ways.items()})


@lru_cache(maxsize=1 << 10)
def risks(shown: bytes, size: int, mines: int) -> Mapping[int, float]:
    """Compute the chance of a mine in every hidden cell, if all layouts that fit are equally likely."""
    layouts = _layouts(shown, size, mines)
    weights = layouts.weights(mines)
    total = sum(weights.values())
    mined: Counter[int] = Counter()
    for count in weights:
        beyond = comb(len(layouts.beyond), mines - count)
        for way in layouts.by_count[count]:
            for cell in way:
                mined[cell] += beyond
    rest = sum([(mines - count) * weight for count, weight in weights.items()])
    found = {cell: mined[cell] / total for cell in layouts.border}
    for cell in layouts.beyond:
        found[cell] = rest / len(layouts.beyond) / total
    return dict(sorted(found.items()))


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
