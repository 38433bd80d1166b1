"""Boards of Swap: lines, swaps and falling tiles, and how good a swap is.

A cell is 0 where it is empty, else a kind of tile. A whole board is compared with itself in one sum of long
integers, a byte a cell: so lines and legal swaps are found in microseconds. Marks are such integers in which
the top bits of some cells are set. Offsets are complex: 1 is the next cell to the right, 1j the one below.
"""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import product

from vlm_gym.cells import neighbours
from vlm_gym.dice import Dice


class Grid:
    """What a size of board and a number of kinds fix: lines of three or more, swaps, tiles that fall."""

    def __init__(self, rows: int, cols: int, kinds: int) -> None:
        self.rows, self.cols, self.kinds, self.swaps = rows, cols, kinds, neighbours(rows, cols)
        self.all = self._marks()
        self.low = self.all // 0x80 * 0x7F
        """Added to a board, it sets the top bit of each byte that is not 0, and carries nothing over. So
        `~((board ^ board >> 8 * distance) + low)` marks what equals the cell so far after it."""
        self.starts = ((1, self._marks(2)), (cols, self._marks(2j)))
        """Across and down: the distance of neighbours, and marks of where a line of three can start."""
        self.patterns = tuple(self._patterns())
        self.distances = {abs(distance) for pattern in self.patterns for distance in pattern[:2]}
        self.words = {8 * one + 8 - (other == one + 1): word for word, (one, other) in self.swaps.items()}
        """Actions by the place of their bit in `_legal`, counted from 1."""
        self.legal = lru_cache(maxsize=1 << 10)(self._legal)

    def _marks(self, *offsets: complex) -> int:
        """Mark the cells from which all these offsets stay on the board."""
        return sum(
            0x80 << 8 * (row * self.cols + col)
            for row, col in product(range(self.rows), range(self.cols))
            if all(0 <= row + by.imag < self.rows and 0 <= col + by.real < self.cols for by in offsets)
        )

    def _patterns(self) -> Iterator[tuple[int, int, int, int, int]]:
        """List all ways to complete a line by moving a tile: how far after it two equal tiles stand, marks of
        where it can be, how far apart the swapped cells are, and the bits from their first to the tile."""
        for way, turn in ((1, 1j), (1j, 1), (-1, 1j), (-1j, 1)):
            aside = [(way + one * turn, way + other * turn) for one, other in ((-2, -1), (-1, 1), (1, 2))]
            for equals in ((2 * way, 3 * way), *aside):
                one, other, to = [int(by.imag * self.cols + by.real) for by in (*equals, way)]
                yield one, other, self._marks(*equals), abs(to), max(0, -8 * to)

    def _legal(self, cells: bytes) -> tuple[str, ...]:
        """List the swaps that make a line, in the order of actions, on a board that has none yet."""
        board, same, found, words = int.from_bytes(cells, "little"), {}, 0, []
        tiles = board + self.low & self.all
        for distance in self.distances:
            same[distance] = ~((board ^ board >> 8 * distance) + self.low) & tiles
            same[-distance] = same[distance] << 8 * distance
        for one, other, valid, step, back in self.patterns:
            if hits := same[one] & same[other] & valid:
                # Both cells hold tiles. One bit a swap: the lower one of a cell for its right neighbour.
                found |= (hits >> back & tiles & tiles >> 8 * step) >> (step == 1)
        while found:
            words.append(self.words[(found & -found).bit_length()])
            found &= found - 1
        return tuple(words)

    def lines(self, cells: bytes) -> int:
        """Mark all tiles that stand in a line of three or more."""
        board, found = int.from_bytes(cells, "little"), 0
        for step, valid in self.starts:
            pairs = ~((board ^ board >> 8 * step) + self.low)
            starts = pairs & pairs >> 8 * step & valid
            found |= starts | starts << 8 * step | starts << 16 * step
        return found & board + self.low

    def swap(self, cells: bytes | bytearray, action: str) -> bytes:
        """Let two cells trade places."""
        (one, other), board = self.swaps[action], bytearray(cells)
        board[one], board[other] = board[other], board[one]
        return bytes(board)

    def new(self, count: int, dice: Dice | None) -> bytes:
        """Draw so many tiles; empty cells without dice."""
        return bytes([1 + dice.below(self.kinds) for _ in range(count)]) if dice else bytes(count)

    def settle(self, cells: bytes, dice: Dice | None = None) -> tuple[bytes, list[int]]:
        """Clear lines and let tiles fall, new ones if there are dice, till no line is left; count by wave."""
        waves = []
        while marks := self.lines(cells):
            waves.append(marks.bit_count())
            left = int.from_bytes(cells, "little") & ~((marks >> 7) * 0xFF)
            board = bytearray(left.to_bytes(len(cells), "little"))
            for col in range(self.cols):
                column = board[col :: self.cols]
                if 0 in column:
                    board[col :: self.cols] = self.new(column.count(0), dice) + column.replace(b"\0", b"")
            cells = bytes(board)
        return cells, waves


grid = cache(Grid)
"""Finds the grid of so many rows, columns and kinds."""


@lru_cache(maxsize=1 << 10)
def values(cells: bytes, grid: Grid, piled: bool) -> Mapping[str, float]:
    """Judge swaps by what they and the best next ones clear, nothing falling in; 1 where a pile can go."""
    judged, known = {}, dict[bytes, bool]()
    for action in grid.legal(cells):
        after, waves = grid.settle(grid.swap(cells, action))
        then = [sum(grid.settle(grid.swap(after, swap))[1]) for swap in grid.legal(after)]
        # What goes one swap later counts a little less.
        tiles = sum(waves) + 0.9 * max(then, default=0)
        judged[action] = 1.0 if piled and clears(after, grid, known) else tiles / (tiles + 10)
    return judged


def clears(cells: bytes, grid: Grid, known: dict[bytes, bool]) -> bool:
    """Tell whether a way to clear a pile is found, by a search that ends when 5,000 positions are `known`."""
    if cells not in known and len(known) < 5000:
        kinds, ways = set(cells) - {0}, (grid.swap(cells, action) for action in grid.legal(cells))
        # One or two tiles of a kind never make a line again.
        known[cells] = not kinds or (
            all(cells.count(kind) >= 3 for kind in kinds)
            and any(clears(grid.settle(way)[0], grid, known) for way in ways)
        )
    return known.get(cells, False)
