"""A board of lamps: bytes, row by row from the top left, 0 for a dark lamp and 1 for a lit one."""

from vlm_gym.dice import Dice


def press(cells: bytes, size: int, cell: int) -> bytes:
    """Switch the lamp of a cell, counted row by row from 0, and its neighbours."""
    row, col = divmod(cell, size)
    board = bytearray(cells)
    for r, c in ((row, col), (row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
        if 0 <= r < size and 0 <= c < size:
            board[r * size + c] ^= 1
    return bytes(board)


def deal(size: int, presses: int, dice: Dice) -> bytes:
    """Press different cells of a dark board, so that it can be made dark again. Some lamp is lit."""
    cells = bytes(size**2)
    while not any(cells):  # on some boards a few presses undo each other
        order = [*range(size**2)]
        dice.shuffle(order)
        for cell in order[:presses]:
            cells = press(cells, size, cell)
    return cells
