"""Boards of Swap as `bytes`, row by row from the top left: 0 is an empty cell, any other byte a kind of tile.

A whole board is compared with itself in one sum of long integers, a byte a cell: so all lines and all legal
swaps are found in microseconds. Marks are such integers in which the top bits of some cells are set.
"""

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import product

Refill = Callable[[int], bytes]
"""Makes so many new tiles for the top of a column; `bytes` itself makes none."""


class Grid:
    """What a size of board fixes: lines of three or more, swaps that make one, falling tiles."""

    def __init__(self, rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        self.all = self._marks()
        self.low = self.all // 0x80 * 0x7F
        """Added to a board, it sets the top bit of every byte that is not 0, and carries nothing over."""
        self.starts = ((1, self._marks((0, 2))), (cols, self._marks((2, 0))))
        """Across and down: the distance of neighbours, and marks of where a line of three can start."""
        self.patterns = tuple(self._patterns())
        self.distances = {abs(distance) for span, source, *_ in self.patterns for distance in (span, source)}
        self.swaps = {
            f"({row + 1},{col + 1}) ({row + down + 1},{col + right + 1})": (at, at + down * cols + right)
            for at, (row, col) in enumerate(product(range(rows), range(cols)))
            for down, right in ((0, 1), (1, 0))
            if row + down < rows and col + right < cols
        }
        """The two cells of every action, in the order of actions."""
        self.actions = tuple(self.swaps)
        self.names = {8 * one + 7 + (other > one + 1): name for name, (one, other) in self.swaps.items()}
        """Actions by the place of their bit in `_legal`, counted from 1."""
        self.legal = lru_cache(maxsize=1 << 10)(self._legal)

    def _marks(self, *offsets: tuple[int, ...]) -> int:
        """Mark the cells from which all these offsets, down and right, stay on the board."""
        return sum(
            0x80 << 8 * (row * self.cols + col)
            for row, col in product(range(self.rows), range(self.cols))
            if all(0 <= row + down < self.rows and 0 <= col + right < self.cols for down, right in offsets)
        )

    def _patterns(self) -> Iterator[tuple[int, int, int, int, bool, int]]:
        """List all ways to complete a line.

        Equal tiles stand at p, p + span and p + source, and the last of them trades places with its neighbour
        at p + gap; of these two p + first comes first. `valid` marks every p for which all are on the board.
        """
        for span, gap, sources in (
            (1, 2, ((-1, 2), (1, 2), (0, 3))),
            (1, -1, ((-1, -1), (1, -1), (0, -2))),
            (2, 1, ((-1, 1), (1, 1))),
        ):
            for source, way in product(sources, (1, -1)):
                offsets = [(0, span)[::way], (0, gap)[::way], source[::way]]
                after, to, by = [down * self.cols + right for down, right in offsets]
                sideways = offsets[1][0] == offsets[2][0]
                yield after, by, to, min(to, by), sideways, self._marks(*offsets)

    def _same(self, board: int, distance: int) -> int:
        """Mark the cells whose byte equals the one at this distance after it."""
        return ~((board ^ board >> 8 * distance) + self.low) & self.all

    def lines(self, cells: bytes) -> int:
        """Mark all tiles that stand in a line of three or more."""
        board, found = int.from_bytes(cells, "little"), 0
        for step, valid in self.starts:
            pairs = self._same(board, step)
            starts = pairs & pairs >> 8 * step & valid
            found |= starts | starts << 8 * step | starts << 16 * step
        return found & board + self.low

    def _legal(self, cells: bytes) -> tuple[str, ...]:
        """List the swaps that make a line, in the order of actions, on a board that has none yet."""
        board, found = int.from_bytes(cells, "little"), 0
        tiles = board + self.low & self.all
        equal = {distance: self._same(board, distance) & tiles for distance in self.distances}
        for span, source, gap, first, sideways, valid in self.patterns:
            joins = equal[source] if source > 0 else equal[-source] << -8 * source
            if hits := equal[span] & joins & valid:
                # One bit a swap: the lower one of a cell for the swap with its right neighbour.
                found |= moved(hits & moved(tiles, -gap), first) >> sideways
        names = []
        while found:
            lowest = found & -found
            names.append(self.names[lowest.bit_length()])
            found ^= lowest
        return tuple(names)

    def settle(self, cells: bytes, refill: Refill = bytes) -> tuple[bytes, int]:
        """Take lines away and let tiles fall until no line is left; count the tiles that went."""
        gone = 0
        while marks := self.lines(cells):
            gone += marks.bit_count()
            left = int.from_bytes(cells, "little") & ~((marks >> 7) * 0xFF)
            board = bytearray(left.to_bytes(len(cells), "little"))
            for col in range(self.cols):
                column = board[col :: self.cols]
                if 0 in column:
                    board[col :: self.cols] = refill(column.count(0)) + column.replace(b"\0", b"")
            cells = bytes(board)
        return cells, gone


@cache
def grid(rows: int, cols: int) -> Grid:
    """Find the grid of this size."""
    return Grid(rows, cols)


def moved(marks: int, by: int) -> int:
    """Move marks so many cells onwards, or back."""
    return marks << 8 * by if by >= 0 else marks >> -8 * by


def traded(cells: bytes | bytearray, one: int, other: int) -> bytes:
    """Let two cells trade places."""
    board = bytearray(cells)
    board[one], board[other] = board[other], board[one]
    return bytes(board)
