"""The scene of Breakout: bricks in cells, and the ball and the paddle between cells."""

from vlm_gym.scene import Object, Scene, Symbol

from .court import UNIT
from .state import Flight

BALL = Symbol("icon", "ball")
PADDLE = Symbol("icon", "paddle")
BRICK = Symbol("icon", "brick")


def drawn(state: Flight) -> Scene:
    """Draw a position."""
    knobs = state.knobs
    cells = tuple([BRICK if brick else None for brick in state.bricks])
    floor = knobs.height - 1
    paddle = [Object(PADDLE, floor, state.paddle / UNIT + part) for part in range(knobs.paddle)]
    ball = Object(BALL, state.y / UNIT, state.x / UNIT)
    across = f"{abs(state.right)} {'right' if state.right > 0 else 'left'}"
    flies = f"ball flies {across} {abs(state.down)} {'down' if state.down > 0 else 'up'}"
    remaining = max(0, knobs.bricks - int(state.score))
    notes = (flies, f"bricks to hit {remaining}")
    return Scene(knobs.height, knobs.cols, cells, (*paddle, ball), notes)
