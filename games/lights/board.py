"""A board of lamps: bytes, row by row from the top left, 0 for a dark lamp and 1 for a lit one."""


def press(cells: bytes, size: int, place: int) -> bytes:
    """Switch the lamp at a place, counted row by row from 0, and its neighbours."""
    row, col = divmod(place, size)
    board = bytearray(cells)
    for r, c in ((row, col), (row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
        if 0 <= r < size and 0 <= c < size:
            board[r * size + c] ^= 1
    return bytes(board)
