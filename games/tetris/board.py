"""Fields of Tetris: the seven pieces, how they turn, where they come to rest, and which rows are cleared.

A field is bytes, row by row from the top left: 0 is empty, 1 is a block. Heights count from the bottom.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

DRAWINGS = {
    "O": ("##", "##"),
    "I": ("####",),
    "L": ("..#", "###"),
    "J": ("#..", "###"),
    "T": (".#.", "###"),
    "S": (".##", "##."),
    "Z": ("##.", ".##"),
}
"""The pieces as they come, from the easiest to place to the hardest."""
KINDS = tuple(DRAWINGS)


class Turned(NamedTuple):
    """A piece after some quarter turns to the right."""

    blocks: tuple[tuple[int, int], ...]
    """(row from the bottom of the piece, column from its left) of each block."""
    bottoms: tuple[int, ...]
    """The row of the lowest block in each column of the piece."""
    height: int


@cache
def turns(kind: str) -> tuple[Turned, ...]:
    """List the different ways to turn a piece: by 0, 1, 2 and 3 quarters, without repetition."""
    turned = []
    drawing = DRAWINGS[kind]
    for _ in range(4):
        turned.append(_turned(drawing))
        # The columns, read from the bottom up, are the rows after a quarter turn to the right.
        drawing = tuple(map("".join, zip(*reversed(drawing), strict=True)))
    return tuple(dict.fromkeys(turned))  # without repetition, in order


def _turned(drawing: Sequence[str]) -> Turned:
    height = len(drawing)
    blocks = []
    bottoms = [height] * len(drawing[0])
    for row, line in enumerate(reversed(drawing)):  # from the bottom up
        for col, dot in enumerate(line):
            if dot == "#":
                blocks.append((row, col))
                bottoms[col] = min(bottoms[col], row)
    return Turned(tuple(blocks), tuple(bottoms), height)


class Field(NamedTuple):
    """A field of `height` rows."""

    cells: bytes
    width: int
    height: int

    def heights(self) -> list[int]:
        """Return the height of every column: that of its highest block."""
        heights = []
        for col in range(self.width):
            top = self.cells[col :: self.width].find(1)  # -1 in an empty column
            heights.append(0 if top < 0 else self.height - top)
        return heights


class Placement(NamedTuple):
    """Where a piece comes to rest when it falls straight down; columns and turns count from 0."""

    col: int
    turned: int
    base: int
    """The height of the lowest row of the piece."""
    holes: int
    """Empty cells right under the piece that it covers."""


def action(col: int, turned: int) -> str:
    """Name a placement; columns are counted from 1."""
    return f"column {col + 1} turned {turned}"


@cache
def actions(width: int) -> tuple[str, ...]:
    """Name all placements that can ever be legal."""
    names = []
    for col in range(width):
        for turned in range(4):
            names.append(action(col, turned))
    return tuple(names)


@lru_cache(maxsize=1 << 10)  # a turn uses it four times
def placements(field: Field, kind: str) -> Mapping[str, Placement]:
    """Find where a piece can be placed, by the name of the action."""
    heights = field.heights()
    by_action = {}
    for col in range(field.width):
        for turned, piece in enumerate(turns(kind)):
            if col + len(piece.bottoms) > field.width:
                continue
            # The lowest base that each column allows; the highest of them stops the piece.
            bases = [heights[col + part] - bottom for part, bottom in enumerate(piece.bottoms)]
            base = max(bases)
            if base + piece.height <= field.height:
                holes = base * len(bases) - sum(bases)
                by_action[action(col, turned)] = Placement(col, turned, base, holes)
    return by_action


def put(field: Field, kind: str, placement: Placement) -> tuple[Field, int]:
    """Place a piece and clear the full rows; return the field and the number of rows cleared."""
    cells = bytearray(field.cells)
    for row, col in turns(kind)[placement.turned].blocks:
        from_top = field.height - 1 - placement.base - row
        cells[from_top * field.width + placement.col + col] = 1
    rows = [cells[start : start + field.width] for start in range(0, len(cells), field.width)]
    kept = [row for row in rows if 0 in row]
    cleared = len(rows) - len(kept)
    empty = bytes(field.width) * cleared
    return field._replace(cells=empty + b"".join(kept)), cleared
