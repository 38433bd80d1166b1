"""A game that is all fog at first, and asks for memory: find the treasure under the covers."""

from dataclasses import dataclass, replace
from typing import ClassVar

from vlm_gym.cells import cell_names
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, GameKnobs, Plan, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

COVER = Symbol("icon", "hidden")


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """How large the field is."""

    side: int = knob(3, "rows and columns", (2, 9))


@dataclass(frozen=True, kw_only=True)
class Field(State):
    """Where the treasure is, what was opened last, and all that was opened, as places from 0."""

    treasure: int
    last: int = -1
    opened: tuple[int, ...] = ()


class Fog(Game[Field, Knobs]):
    """Only what was opened last is shown, as its distance from the treasure; no place can be opened twice."""

    name: ClassVar = "fog"
    title: ClassVar = "Fog"
    form: ClassVar = "a cell as (row,column), such as (1,2)"
    unit: ClassVar = "treasures"
    memory: ClassVar = True
    levels: ClassVar = tuple(Knobs(side=side) for side in (3, 4, 5, 6, 7))

    def rules(self, knobs):
        return "One cell hides the treasure. An opened cell tells its distance from it. Goal: open its cell."

    def actions(self, knobs):
        return cell_names(knobs.side, knobs.side)

    def start(self, seed, knobs):
        return Field(knobs=knobs, seed=seed, treasure=Dice(seed, DEAL).below(knobs.side**2))

    def legal(self, state):
        if state.over:
            return ()
        cells = self.actions(state.knobs)
        return tuple(cell for place, cell in enumerate(cells) if place not in state.opened)

    def step(self, state, action):
        if action not in self.legal(state):
            raise self.refuse(state, action)
        place = self.actions(state.knobs).index(action)
        found = place == state.treasure
        event = "the treasure" if found else f"{action} is {self._distance(state, place)} away"
        after = state.advance(float(found), found, last=place, opened=(*state.opened, place))
        return Step(after, float(found), float(found), event)

    def scene(self, state):
        side = state.knobs.side
        cells = [COVER] * side**2
        if state.last >= 0:
            away = self._distance(state, state.last)
            cells[state.last] = Symbol("text", str(away)) if away else Symbol("icon", "goal")
        return Scene(side, side, tuple(cells))

    def success(self, state):
        return state.over

    def key(self, state):
        return f"{super().key(state)}\n{state.treasure}"

    def imagine(self, state, dice):
        return replace(super().imagine(state, dice), treasure=dice.choice(self._possible(state)))

    def solve(self, state):
        if state.over:
            return None
        possible = self._possible(state)
        return Plan(self.actions(state.knobs)[possible[0]], 1 / len(possible))

    def value(self, state, action):
        possible = self._possible(state)
        return (self.actions(state.knobs).index(action) in possible) / len(possible)

    def _possible(self, state):
        """List the places where the treasure can be, by all that was shown."""
        if state.over:
            return [state.treasure]
        shown = [(place, self._distance(state, place)) for place in state.opened]
        return [
            place
            for place in range(state.knobs.side**2)
            if all(self._away(state, place, other) == away for other, away in shown)
        ]

    def _distance(self, state, place):
        return self._away(state, place, state.treasure)

    def _away(self, state, place, other):
        side = state.knobs.side
        return abs(place // side - other // side) + abs(place % side - other % side)


GAME = Fog()
