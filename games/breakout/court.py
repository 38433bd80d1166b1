"""The court of Breakout: how the ball and the paddle move in one tick.

All places are whole quarters of a cell, so play is equal in every process. A place is that of the top left
corner; the ball is a cell wide and high. A brick is hit by the middle of the ball.
"""

from typing import NamedTuple

UNIT = 4
"""Quarters in a cell."""
FALL = 2
"""Quarters that the ball rises or falls a tick."""
PACE = 2
"""Quarters that the paddle moves a tick."""
MOVES = {"stay": 0, "left": -PACE, "right": PACE}


class Court(NamedTuple):
    """The moving parts, and the bricks: a byte a cell, row by row, 1 for a brick."""

    rows: int
    cols: int
    width: int
    """Of the paddle, in cells; it lies in the last row."""
    bricks: bytes
    paddle: int
    x: int
    y: int
    right: int
    """Quarters to the right a tick; negative to the left, never 0."""
    down: int


def tick(court: Court, move: int) -> Court:
    """Move the paddle by `move`, then the ball: across first, then up or down."""
    last = (court.cols - court.width) * UNIT
    court = court._replace(paddle=min(last, max(0, court.paddle + move)))
    return _vertical(_across(court))


def lost(court: Court) -> bool:
    """Return whether the ball has fallen past the paddle."""
    return court.y > (court.rows - 2) * UNIT


def _across(court: Court) -> Court:
    x = court.x + court.right
    if not 0 <= x <= (court.cols - 1) * UNIT:
        return court._replace(right=-court.right)
    hit = _brick(court, x, court.y)
    if hit is not None:
        return court._replace(right=-court.right, bricks=_without(court.bricks, hit))
    return court._replace(x=x)


def _vertical(court: Court) -> Court:
    y = court.y + court.down
    floor = (court.rows - 2) * UNIT
    if y < 0:
        return court._replace(down=-court.down)
    if y > floor:
        return _land(court)
    hit = _brick(court, court.x, y)
    if hit is not None:
        return court._replace(down=-court.down, bricks=_without(court.bricks, hit))
    return court._replace(y=y)


def _land(court: Court) -> Court:
    """Bounce off the paddle, away from its middle, and flatter towards its ends; else fall."""
    offset = court.x + UNIT // 2 - (court.paddle + court.width * UNIT // 2)
    reach = (court.width + 1) * UNIT // 2
    if abs(offset) >= reach:
        return court._replace(y=(court.rows - 1) * UNIT)
    # A hit right in the middle keeps the direction: the ball never flies straight up.
    side = court.right // abs(court.right) if offset == 0 else offset // abs(offset)
    flat = 2 * abs(offset) >= reach
    return court._replace(down=-court.down, right=side * (2 if flat else 1))


def _brick(court: Court, x: int, y: int) -> int | None:
    """Return the brick under the middle of a ball."""
    cell = (y + UNIT // 2) // UNIT * court.cols + (x + UNIT // 2) // UNIT
    return cell if court.bricks[cell] else None


def _without(bricks: bytes, cell: int) -> bytes:
    return bricks[:cell] + b"\0" + bricks[cell + 1 :]
