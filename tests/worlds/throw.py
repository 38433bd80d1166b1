"""A game with open actions, objects off the grid and notes: throw a ball at a target by angle and force."""

import re
from dataclasses import dataclass
from math import cos, radians, sin
from typing import ClassVar

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, GameKnobs, Plan, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Object, Scene, Symbol

BALL, GOAL, WALL = (Symbol("icon", name) for name in ("ball", "goal", "wall"))
_ACTION = re.compile(r"\s*(\d{1,2}(?:\.\d)?)\s*(?:degrees|°)?\s*,?\s*(\d{1,2}(?:\.\d)?)\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """How large the room is."""

    side: int = knob(5, "rows and columns", (3, 9))
    near: float = knob(0.5, "how near to the target is enough, in cells", (0.1, 3.0))


@dataclass(frozen=True, kw_only=True)
class Room(State):
    """Row and column of the ball and of the target, in cells from 0."""

    ball: tuple[float, float] = (0.0, 0.0)
    target: tuple[float, float]


class Throw(Game[Room, Knobs]):
    """The ball starts at the top left and goes straight; it stops at the walls."""

    name: ClassVar = "throw"
    title: ClassVar = "Throw"
    form: ClassVar = "an angle in degrees, 0 to 90 from right to down, and a distance in cells: 45 2.5"
    unit: ClassVar = "hits"
    levels: ClassVar = tuple(Knobs(side=side, turns=10) for side in (3, 4, 5, 6, 7))

    def rules(self, knobs):
        return "Throw the ball from the top left so that it stops at the goal."

    def start(self, seed, knobs):
        dice = Dice(seed, DEAL)
        return Room(knobs=knobs, seed=seed, target=tuple(self._place(knobs, dice) for _ in range(2)))

    def _place(self, knobs, dice):
        return 1 + dice.below(100 * (knobs.side - 2) + 1) / 100

    def legal(self, state):
        return () if state.over else ("0 1", "30 2", "45 1.5", "90 2")

    def allows(self, state, action):
        match = re.fullmatch(r"(\d+(?:\.\d)?) (\d+(?:\.\d)?)", action, re.ASCII)
        return bool(match) and not state.over and float(match[1]) <= 90 and float(match[2]) <= 20

    def read(self, words, state):
        match = _ACTION.fullmatch(words)
        return f"{float(match[1]):g} {float(match[2]):g}" if match else words.strip()

    def step(self, state, action):
        if not self.allows(state, action):
            raise self.refuse(state, action)
        angle, length = map(float, action.split())
        most = state.knobs.side - 1.0
        ball = tuple(min(most, length * turn(radians(angle))) for turn in (sin, cos))
        hit = all(abs(a - b) <= state.knobs.near for a, b in zip(ball, state.target, strict=True))
        return Step(
            state.advance(float(hit), hit, ball=ball), float(hit), float(hit), "hit" if hit else "miss"
        )

    def scene(self, state):
        side = state.knobs.side
        cells = tuple(WALL if place % (side + 1) == side else None for place in range(side * side))
        objects = Object(GOAL, *state.target), Object(BALL, *state.ball)
        return Scene(side, side, cells, objects, (f"throws: {state.turn}", "near enough: half a cell"))

    def success(self, state):
        return state.over

    def solve(self, state):
        if state.over:
            return None
        angles = [(angle, length / 10) for angle in range(91) for length in range(10, 100, 2)]
        best = min(angles, key=lambda one: self._miss(state, *one))
        return Plan(f"{best[0]} {best[1]:g}", 1 / (1 + self._miss(state, *best)))

    def value(self, state, action):
        return 1 / (1 + self._miss(state, *map(float, action.split())))

    def _miss(self, state, angle, length):
        row, col = state.target
        return abs(length * sin(radians(angle)) - row) + abs(length * cos(radians(angle)) - col)


GAME = Throw()
