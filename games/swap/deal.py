"""Deals of Swap: full boards, and piles that can be cleared."""

from vlm_gym.dice import Dice

from .board import Grid


def shuffled(tiles: bytes, grid: Grid, dice: Dice) -> bytes:
    """Shuffle tiles into a board with a legal swap and no line; tiles that will not lie so are redrawn."""
    board = bytearray(tiles)
    attempts = 0
    dice.shuffle(board)
    while (lined := grid.lines(bytes(board))) or not grid.legal(bytes(board)):
        attempts += 1
        if attempts % 50 == 0:
            board[:] = grid.new(len(board), dice)
        # Only what stands in a line has to move; without a legal swap, everything.
        for place in range(len(board)):
            if not lined or place in lined:
                other = dice.below(len(board))
                board[place], board[other] = board[other], board[place]
    return bytes(board)


def pile(size: int, grid: Grid, dice: Dice) -> bytes:
    """Heap up so many tiles, a multiple of three, so that they can be cleared: by playing backwards."""
    while True:
        cells = _foot(grid, dice)
        for _ in range(4 * size):
            if len(cells) - cells.count(0) == size:
                return cells
            cells = _lift(cells, grid, dice)


def _foot(grid: Grid, dice: Dice) -> bytes:
    """Lay the last six tiles, two lines that one swap completes: three equal tiles alone cannot go."""
    board = bytearray(grid.rows * grid.cols)
    one = dice.below(grid.kinds)
    other = (one + 1 + dice.below(grid.kinds - 1)) % grid.kinds
    left = (grid.rows - 2) * grid.cols + dice.below(grid.cols - 2)
    odd = dice.below(3)
    for col in range(3):
        pair = (one + 1, other + 1) if col != odd else (other + 1, one + 1)
        board[left + col], board[left + col + grid.cols] = pair
    return bytes(board)


def _lift(cells: bytes, grid: Grid, dice: Dice) -> bytes:
    """Push a line of three into the pile and swap a tile of it away; no change where chance picks badly."""
    wide, high = dice.choice(((3, 1), (1, 3)))
    left = dice.below(grid.cols + 1 - wide)
    columns = [cells[col :: grid.cols].lstrip(b"\0") for col in range(left, left + wide)]
    under = dice.below(min(map(len, columns)) + 1)
    if max(map(len, columns)) + high > grid.rows:
        return cells
    board = bytearray(cells)
    line = bytes([1 + dice.below(grid.kinds)]) * high
    for col, column in enumerate(columns, left):
        top = len(column) - under
        board[col :: grid.cols] = (column[:top] + line + column[top:]).rjust(grid.rows, b"\0")
    lined = grid.lines(bytes(board))
    if len(lined) != 3:
        return cells
    ways = [
        grid.swap(board, action)
        for action, (one, other) in grid.swaps.items()
        if (one in lined) != (other in lined) and board[one] and board[other]
    ]
    dice.shuffle(ways)
    return next((way for way in ways if not grid.lines(way)), cells)
