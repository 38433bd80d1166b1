"""Breakout by Nolan Bushnell and Steve Bristow, built by Steve Wozniak (Atari, 1976)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from . import thought
from .court import FALL, MOVES, UNIT, Court, lost, tick
from .drawing import drawn
from .state import Flight, Knobs

CATCH = 0.25
"""The part of a brick that a rising ball is worth to the progress."""


class Breakout(Game[Flight, Knobs]):
    """Breakout, `speed` ticks a decision. The game is lost when the ball falls past the paddle.

    The score counts bricks. Progress is the share of the bricks to hit.
    """

    name = "breakout"
    title = "Breakout"
    form = "left, stay or right"
    unit = "bricks"
    grammar = thought.GRAMMAR
    tick: ClassVar = 0.4
    levels = (
        Knobs(height=7, cols=6, bricks=2, turns=20),
        Knobs(bricks=4, turns=40),
        Knobs(bricks=6, turns=60),
        Knobs(cols=8, rows=3, speed=4, bricks=8, turns=80),
        Knobs(cols=9, rows=3, speed=4, wind=10, bricks=12, turns=120),
    )

    def rules(self, knobs: Knobs) -> str:
        return (
            "The ball flies straight and bounces off walls, bricks and the paddle. A brick is gone once hit. "
            "The paddle sends the ball to the side on which it was hit, the flatter the nearer to its end. "
            f"Each turn lasts {knobs.speed} ticks; a tick moves the paddle by half a cell, the ball by the "
            f"quarters noted below. Keep the ball in play. Goal: hit bricks, {knobs.bricks} in all."
        )

    def actions(self, knobs: Knobs) -> tuple[str, ...]:
        return tuple(MOVES)

    def start(self, seed: int, knobs: Knobs) -> Flight:
        dice = Dice(seed, DEAL)
        bricks = b"\0" * knobs.cols + b"\1" * (knobs.rows * knobs.cols)
        return Flight(
            knobs=knobs,
            seed=seed,
            bricks=bricks.ljust(knobs.height * knobs.cols, b"\0"),
            paddle=dice.below((knobs.cols - knobs.paddle) * UNIT + 1),
            x=dice.below((knobs.cols - 1) * UNIT + 1),
            y=(knobs.rows + 1) * UNIT,
            right=dice.choice((-2, -1, 1, 2)),
            down=FALL,
        )

    def step(self, state: Flight, action: str) -> Step[Flight]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        knobs = state.knobs
        court = state.court
        for _ in range(knobs.speed):
            if not lost(court):
                court = tick(court, MOVES[action])
        if state.dice.below(100) < knobs.wind:
            # The other slope on the same side: 1 becomes 2, 2 becomes 1.
            court = court._replace(right=2 // court.right if abs(court.right) == 2 else 2 * court.right)
        hit = state.bricks.count(1) - court.bricks.count(1)
        won = state.score + hit >= knobs.bricks
        over = won or lost(court)
        event = f"{action}: {hit} bricks hit"
        if won:
            event += "; all are hit"
        elif over:
            event += "; the ball is lost"
        # The first three fields are sizes, which stay.
        changes = dict(zip(Court._fields[3:], court[3:], strict=True))
        after = state.advance(hit, over, **changes)
        return Step(after, self.reward(state, after), hit, event)

    def scene(self, state: Flight) -> Scene:
        return drawn(state)

    def success(self, state: Flight) -> bool:
        return state.score >= state.knobs.bricks

    def progress(self, state: Flight) -> float:
        if self.success(state):
            return 1.0
        # A catch counts at once, before the brick that it leads to.
        caught = CATCH if state.down < 0 else 0.0
        return (state.score + caught) / state.knobs.bricks

    def idle(self, state: Flight) -> str | None:
        return None if state.over else "stay"

    def values(self, state: Flight) -> Mapping[str, float]:
        return {} if state.over else thought.judged(state.court, state.knobs.speed)

    def think(self, state: Flight) -> Thought | None:
        return None if state.over else thought.think(state.court, state.knobs.speed)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return thought.conclude(steps)
