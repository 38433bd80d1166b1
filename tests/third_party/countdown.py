"""A game as another package would offer it: take one or two away from a number until nothing is left."""

from dataclasses import dataclass
from typing import ClassVar

from vlm_gym.game import Game, GameKnobs, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """How far to count."""

    most: int = knob(9, "the largest number to start from", (2, 99))


@dataclass(frozen=True, kw_only=True)
class Position(State):
    """A number that has not come down to zero."""

    left: int


class Countdown(Game[Position]):
    """One number on one tile."""

    name: ClassVar = "countdown"
    title: ClassVar = "Countdown"
    form: ClassVar = "1 or 2"
    unit: ClassVar = "steps"
    levels: ClassVar = tuple(Knobs(most=most) for most in (3, 5, 9, 20, 50))

    def rules(self, knobs):
        return "Take 1 or 2 away from the number until nothing is left."

    def actions(self, knobs):
        return "1", "2"

    def start(self, seed, knobs):
        return Position(knobs=knobs, seed=seed, left=2 + seed % (knobs.most - 1))

    def legal(self, state):
        return tuple(action for action in ("1", "2") if int(action) <= state.left)

    def step(self, state, action):
        if action not in self.legal(state):
            raise self.refuse(state, action)
        left = state.left - int(action)
        return Step(state.advance(1.0, over=left == 0, left=left), 1.0, 1.0, f"{left} left")

    def scene(self, state):
        return Scene(1, 1, (Symbol("number", str(state.left)),))

    def success(self, state):
        return state.over


GAME = Countdown()
