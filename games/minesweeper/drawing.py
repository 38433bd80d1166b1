"""The scene of Minesweeper."""

from vlm_gym.scene import Symbol

MINE = Symbol("icon", "mine")
TILES = (None, *(Symbol("number", str(number)) for number in range(1, 9)), Symbol("icon", "hidden"))
"""What a cell shows, by its byte in `Field.shown`."""


def drawn(shown: bytes, hit: int) -> tuple[Symbol | None, ...]:
    """Return what the cells show; `hit` is the cell of a mine that was opened, or -1."""
    cells = [TILES[number] for number in shown]
    if hit >= 0:
        cells[hit] = MINE
    return tuple(cells)
