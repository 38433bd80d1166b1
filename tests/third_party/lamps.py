"""A game as another package would offer it: switch all the lights off."""

from dataclasses import dataclass
from typing import ClassVar

from vlm_gym.dice import Dice
from vlm_gym.game import Game, GameKnobs, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

LAMP = Symbol("shape", "circle", "yellow")


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """How large the house is."""

    side: int = knob(4, "rows and columns of windows", (3, 9))


@dataclass(frozen=True, kw_only=True)
class House(State):
    """The windows that are lit, counted from 1 row by row."""

    lit: tuple[int, ...]


class Lamps(Game[House]):
    """Every turn one lit window can be made dark."""

    name: ClassVar = "lamps"
    title: ClassVar = "Lamps"
    form: ClassVar = "the number of a lit window, counted from 1 row by row"
    unit: ClassVar = "lamps"
    levels: ClassVar = tuple(Knobs(side=side) for side in (3, 4, 5, 6, 7))

    def rules(self, knobs):
        return "Switch off every light."

    def actions(self, knobs):
        return tuple(str(window) for window in range(1, knobs.side**2 + 1))

    def start(self, seed, knobs):
        dice, windows = Dice(seed), range(1, knobs.side**2 + 1)
        always = dice.choice(windows)
        return House(knobs=knobs, seed=seed, lit=tuple(w for w in windows if w == always or dice.chance(0.4)))

    def legal(self, state):
        return tuple(str(window) for window in state.lit)

    def step(self, state, action):
        if action not in self.legal(state):
            raise self.refuse(state, action)
        lit = tuple(window for window in state.lit if window != int(action))
        return Step(state.advance(1.0, over=not lit, lit=lit), 1.0, 1.0, f"{len(lit)} lit")

    def scene(self, state):
        side = state.knobs.side
        return Scene(side, side, tuple(LAMP if w in state.lit else None for w in range(1, side**2 + 1)))

    def success(self, state):
        return not state.lit


GAME = Lamps()
