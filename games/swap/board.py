"""Boards of Swap: lines, swaps and falling tiles, and how good a swap is.

A board is bytes, row by row: 0 for an empty cell, else a kind of tile. A cell is its index in these bytes.
What the size of a board fixes is listed once: all lines of three cells, and all swaps that complete one.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from vlm_gym.cells import neighbours
from vlm_gym.dice import Dice

Three = tuple[int, int, int]
"""Three cells."""
Moves = tuple[tuple[int, str], ...]
"""Swaps that bring a tile to one cell, each with the cell that the tile comes from."""


class Gaps(NamedTuple):
    """A line of three cells, and the swaps that bring a tile to each of them from outside of the line."""

    three: Three
    moves: tuple[Moves, Moves, Moves]


class Grid:
    """What a size of board and a number of kinds fix: lines of three or more, swaps, tiles that fall."""

    def __init__(self, rows: int, cols: int, kinds: int) -> None:
        self.rows = rows
        self.cols = cols
        self.kinds = kinds
        self.swaps = neighbours(rows, cols)
        self.threes = tuple(_threes(rows, cols))
        """All lines of three cells, across and down."""
        self.gaps = tuple([self._gaps(three) for three in self.threes])
        """What can complete each line of three that lacks one tile."""
        self.legal = lru_cache(maxsize=1 << 10)(self._legal)
        """`_legal`, cached: rules, solver and thoughts use the same boards."""

    def _gaps(self, three: Three) -> Gaps:
        first, second, third = three
        return Gaps(
            three,
            (
                self._moves_to(first, (second, third)),
                self._moves_to(second, (first, third)),
                self._moves_to(third, (first, second)),
            ),
        )

    def _moves_to(self, target: int, others: tuple[int, int]) -> Moves:
        """List the swaps that bring a tile to a cell from outside of the line."""
        moves = []
        for action, pair in self.swaps.items():
            source = sum(pair) - target  # the other one of the two cells, if the target is one of them
            if target in pair and source not in others:
                moves.append((source, action))
        return tuple(moves)

    def _legal(self, cells: bytes) -> tuple[str, ...]:
        """List the swaps that make a line, in the order of actions, on a board that has none yet."""
        legal = set[str]()
        for (first, second, third), (to_first, to_second, to_third) in self.gaps:
            # No more than two tiles are equal, so one cell at most is a gap.
            if cells[first] == cells[second]:
                kind = cells[first]
                target = third
                moves = to_third
            elif cells[first] == cells[third]:
                kind = cells[first]
                target = second
                moves = to_second
            elif cells[second] == cells[third]:
                kind = cells[second]
                target = first
                moves = to_first
            else:
                continue
            if kind and cells[target]:
                for source, action in moves:
                    if cells[source] == kind:
                        legal.add(action)
        return tuple([action for action in self.swaps if action in legal])

    def lines(self, cells: bytes) -> set[int]:
        """Return all cells whose tiles stand in a line of three or more."""
        lined = set[int]()
        for first, second, third in self.threes:
            if cells[first] == cells[second] == cells[third] and cells[first]:
                lined.update((first, second, third))
        return lined

    def swap(self, cells: bytes | bytearray, action: str) -> bytes:
        """Exchange two cells."""
        one, other = self.swaps[action]
        board = bytearray(cells)
        board[one], board[other] = board[other], board[one]
        return bytes(board)

    def new(self, count: int, dice: Dice | None) -> bytes:
        """Draw so many tiles; empty cells without dice."""
        if dice is None:
            return bytes(count)
        return bytes([1 + dice.below(self.kinds) for _ in range(count)])

    def settle(self, cells: bytes, dice: Dice | None = None) -> tuple[bytes, list[int]]:
        """Clear lines and let tiles fall, new ones if there are dice, until no line is left.

        Returns the board, and how many tiles each wave cleared.
        """
        waves = []
        while gone := self.lines(cells):
            waves.append(len(gone))
            board = bytearray(cells)
            for cell in gone:
                board[cell] = 0
            for col in range(self.cols):
                column = board[col :: self.cols]
                if 0 in column:
                    board[col :: self.cols] = self.new(column.count(0), dice) + column.replace(b"\0", b"")
            cells = bytes(board)
        return cells, waves


def _threes(rows: int, cols: int) -> Iterator[Three]:
    """Yield all lines of three cells of a board, from each cell across and down."""
    for cell in range(rows * cols):
        row, col = divmod(cell, cols)
        if col + 2 < cols:
            yield cell, cell + 1, cell + 2
        if row + 2 < rows:
            yield cell, cell + cols, cell + 2 * cols


grid = cache(Grid)
"""Return the grid of so many rows, columns and kinds, made once."""
