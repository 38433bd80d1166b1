"""What the cells of a board of Swap show."""

from vlm_gym.scene import COLORS, SHAPES, Symbol


def _tiles(shapes: int) -> tuple[Symbol | None, ...]:
    """List the symbols of the kinds of tiles, with so many shapes; None for kind 0, an empty cell."""
    symbols: list[Symbol | None] = [None]
    for color in COLORS:
        symbols += [Symbol("shape", shape, color) for shape in SHAPES[:shapes]]
    return tuple(symbols)


TILES = [_tiles(shapes) for shapes in range(len(SHAPES) + 1)]
"""What a cell shows, by the number of shapes and the cell's byte."""
