"""Deals of Swap: full boards, and piles that can be cleared."""

from vlm_gym.dice import Dice

from .board import Grid


def shuffled(tiles: bytes, grid: Grid, dice: Dice) -> bytes:
    """Shuffle tiles into a board with a legal swap and no line; new tiles are drawn where that fails."""
    board = bytearray(tiles)
    attempts = 0
    dice.shuffle(board)
    while (lined := grid.lines(bytes(board))) or not grid.legal(bytes(board)):
        attempts += 1
        if attempts % 50 == 0:
            board[:] = grid.new(len(board), dice)
        # Only what stands in a line has to move; without a legal swap, everything.
        for cell in range(len(board)):
            if not lined or cell in lined:
                other = dice.below(len(board))
                board[cell], board[other] = board[other], board[cell]
    return bytes(board)


def pile(size: int, grid: Grid, dice: Dice) -> bytes:
    """Deal a pile of so many tiles, a multiple of three, that can be cleared: by playing backwards."""
    while True:
        cells = _foot(grid, dice)
        for _ in range(4 * size):
            if len(cells) - cells.count(0) == size:
                return cells
            cells = _lift(cells, grid, dice)


def _foot(grid: Grid, dice: Dice) -> bytes:
    """Place the last six tiles, two lines that one swap completes: three equal tiles alone cannot go."""
    board = bytearray(grid.rows * grid.cols)
    one = dice.below(grid.kinds)
    other = (one + 1 + dice.below(grid.kinds - 1)) % grid.kinds
    first = (grid.rows - 2) * grid.cols + dice.below(grid.cols - 2)  # in the row above the last one
    odd = dice.below(3)  # the column in which the two tiles trade places
    for cell in range(first, first + 3):
        upper = one if cell - first != odd else other
        lower = one + other - upper
        # Kinds of tiles count from 1.
        board[cell] = upper + 1
        board[cell + grid.cols] = lower + 1
    return bytes(board)


def _lift(cells: bytes, grid: Grid, dice: Dice) -> bytes:
    """Push a line of three into the pile and swap a tile of it away; no change where chance picks badly."""
    wide, high = dice.choice(((3, 1), (1, 3)))
    first_col = dice.below(grid.cols + 1 - wide)
    columns = [cells[col :: grid.cols].lstrip(b"\0") for col in range(first_col, first_col + wide)]
    under = dice.below(min(map(len, columns)) + 1)  # tiles below the line in each column
    if max(map(len, columns)) + high > grid.rows:
        return cells
    board = bytearray(cells)
    line = bytes([1 + dice.below(grid.kinds)]) * high
    for col, column in enumerate(columns, first_col):
        top = len(column) - under
        board[col :: grid.cols] = (column[:top] + line + column[top:]).rjust(grid.rows, b"\0")
    lined = grid.lines(bytes(board))
    if len(lined) != 3:
        return cells
    # Swaps of a tile of the line with one outside of it.
    candidates = []
    for action, (one, other) in grid.swaps.items():
        if (one in lined) != (other in lined) and board[one] and board[other]:
            candidates.append(grid.swap(board, action))
    dice.shuffle(candidates)
    return next((swapped for swapped in candidates if not grid.lines(swapped)), cells)
