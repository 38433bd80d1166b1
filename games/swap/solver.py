"""How good swaps of Swap are: by the tiles they take at once, or by how much of a pile can go.

With endless refill a swap is worth the tiles that it takes, cascades of tiles on the board included, up to
`ENOUGH`. Where every legal swap serves the goal alike (`any_will_do`), all are worth the same. A pile is
searched: few positions can be reached from it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from .board import Grid

ENOUGH = 6
"""Tiles of a swap that is played without looking further. In 300 games of level 2 this reaches the goal
as often as a player who always takes the most (96 %); 4 in place of 6 reaches it in 94 %."""
PATIENCE = 5000
"""Positions of a pile that are searched in full. From there on only the first way is followed."""


class Move(NamedTuple):
    """One swap of a line of play, and how many tiles it takes."""

    action: str
    taken: int


def any_will_do(rows: int, cols: int, count: str) -> bool:
    """Return whether legal swaps serve the goal alike: swaps are counted, or no line is longer than three."""
    return count == "swaps" or max(rows, cols) == 3


def taken(cells: bytes, grid: Grid, action: str) -> int:
    """Return how many tiles a swap takes, if no new tiles fall in."""
    _, waves = grid.settle(grid.swap(cells, action))
    return sum(waves)


@lru_cache(maxsize=1 << 10)
def values(cells: bytes, grid: Grid, pile: bool, alike: bool) -> Mapping[str, float]:
    """Return the value of each legal swap, in [0, 1].

    Of a pile, it is the share of the tiles that can go, beginning with this swap.
    """
    legal = grid.legal(cells)
    if pile:
        return _pile_values(cells, grid)
    if alike:
        return dict.fromkeys(legal, 1.0)
    return {action: min(taken(cells, grid, action), ENOUGH) / ENOUGH for action in legal}


def _pile_values(cells: bytes, grid: Grid) -> dict[str, float]:
    tiles = len(cells) - cells.count(0)
    line = best_line(cells, grid)
    most = sum(move.taken for move in line)
    found: dict[str, float] = {}
    for action in grid.legal(cells):
        after, waves = grid.settle(grid.swap(cells, action))
        total = sum(waves) + sum(move.taken for move in best_line(after, grid))
        # Where patience ran out, the two searches may differ: the line that is played counts as the best.
        found[action] = min(total, most) / tiles
    if line:
        found[line[0].action] = most / tiles
    return found


@lru_cache(maxsize=1 << 12)
def best_line(cells: bytes, grid: Grid) -> tuple[Move, ...]:
    """Return a line of play that takes the most tiles of a pile. Empty where no swap is legal.

    Of ways that take equally many, it follows the one that leaves the most legal swaps, and of these the
    first. Exact where at most `PATIENCE` positions have to be looked at.
    """
    return _search(cells, grid, {})


def _search(cells: bytes, grid: Grid, known: dict[bytes, tuple[Move, ...]]) -> tuple[Move, ...]:
    if cells in known:
        return known[cells]
    ways = []
    for action in grid.legal(cells):
        after, waves = grid.settle(grid.swap(cells, action))
        ways.append((Move(action, sum(waves)), after))
    # Many swaps left mean that a line to the end is found soon: a fifth of the positions of another order.
    ways.sort(key=lambda way: -len(grid.legal(way[1])))
    tiles = len(cells) - cells.count(0)
    best: tuple[Move, ...] = ()
    most = 0
    for move, after in ways:
        if best and len(known) >= PATIENCE:
            break
        line = (move, *_search(after, grid, known))
        total = sum(each.taken for each in line)
        if total > most:
            best = line
            most = total
        if most == tiles:
            break
    known[cells] = best
    return best


def reachable(cells: bytes, grid: Grid) -> set[bytes]:
    """Return the positions that play can reach from a pile, itself included; at most about `PATIENCE`.

    Those of the best line are among them.
    """
    found = {cells}
    waiting = [cells]
    for move in best_line(cells, grid):
        cells, _ = grid.settle(grid.swap(cells, move.action))
        found.add(cells)
        waiting.append(cells)
    while waiting and len(found) < PATIENCE:
        board = waiting.pop()
        for action in grid.legal(board):
            after, _ = grid.settle(grid.swap(board, action))
            if after not in found:
                found.add(after)
                waiting.append(after)
    return found
