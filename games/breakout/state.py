"""The knobs and the state of Breakout."""

from dataclasses import dataclass

from vlm_gym.game import GameKnobs, State
from vlm_gym.knobs import knob

from .court import Court

FREE = 4
"""Rows below the bricks at least: the ball's way, and that of the paddle."""


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """The reasoning axis of Breakout."""

    height: int = knob(8, "rows of the court", (6, 12))
    cols: int = knob(7, "columns of the court", (5, 12))
    rows: int = knob(2, "rows of bricks", (1, 6))
    paddle: int = knob(2, "cells that the paddle is wide", (1, 4))
    speed: int = knob(3, "ticks a decision: what flies half a cell or more a tick", (1, 6))
    wind: int = knob(0, "chance in percent that wind turns the ball after a decision", (0, 50))
    bricks: int = knob(4, "bricks to hit", (1, 72))

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = self.height - FREE - 1  # the row above the bricks is free, too
        if self.rows > limit:
            raise ValueError(
                f"rows={self.rows} is not possible with height={self.height}; rows takes 1 to {limit} here"
            )
        if self.bricks > self.rows * self.cols:
            raise ValueError(
                f"bricks={self.bricks} is not possible with {self.rows} rows of {self.cols}; "
                f"bricks takes 1 to {self.rows * self.cols} here"
            )


@dataclass(frozen=True, kw_only=True)
class Flight(State):
    """A position: the bricks, and the places and the speed of what moves, in quarters of a cell."""

    knobs: Knobs
    bricks: bytes
    paddle: int
    x: int
    y: int
    right: int
    down: int

    @property
    def court(self) -> Court:
        """Return what moves, with the size of the court."""
        knobs = self.knobs
        places = self.paddle, self.x, self.y, self.right, self.down
        return Court(knobs.height, knobs.cols, knobs.paddle, self.bricks, *places)
