"""Lights Out by Tiger Electronics (1995), on square boards of several sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_gym.cells import names, read_cell
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, Step
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from .board import press
from .knobs import LightsKnobs
from .solver import judged
from .thought import GRAMMAR, conclude, facts, think

TILES = (None, Symbol("shape", "circle", "yellow"))
"""What a cell shows, by its byte: 0 is dark, 1 is lit."""


@dataclass(frozen=True, kw_only=True)
class Lamps(Board[LightsKnobs]):
    """The lamps, and how many of them were lit in the deal."""

    first: int


class Lights(Game[Lamps, LightsKnobs]):
    """Lights Out. The game is over when all lamps are dark. Progress is the share of the first lamps."""

    name = "lights"
    title = "Lights Out"
    form = "a cell as (row,column), such as (1,2)"
    unit = "lamps"
    grammar = GRAMMAR
    levels = (
        LightsKnobs(size=4, presses=3, turns=13),
        LightsKnobs(size=4, presses=4, turns=11),
        LightsKnobs(presses=5, turns=13),
        LightsKnobs(presses=7, turns=15),
        LightsKnobs(size=6, presses=9, turns=18),
    )

    def rules(self, knobs: LightsKnobs) -> str:
        return (
            "A press on a cell switches its lamp and those above, below, left and right of it: a lit lamp "
            "goes dark, a dark one is lit. Dark lamps look like empty cells. Goal: make all lamps dark."
        )

    def actions(self, knobs: LightsKnobs) -> tuple[str, ...]:
        return names(knobs.size, knobs.size)

    def start(self, seed: int, knobs: LightsKnobs) -> Lamps:
        dice = Dice(seed, DEAL)
        cells = bytes(knobs.size**2)
        while not any(cells):  # on some boards a few presses undo each other
            places = [*range(knobs.size**2)]
            dice.shuffle(places)
            for place in places[: knobs.presses]:
                cells = press(cells, knobs.size, place)
        return Lamps(knobs=knobs, seed=seed, cells=cells, first=sum(cells))

    def legal(self, state: Lamps) -> tuple[str, ...]:
        return () if state.over else self.actions(state.knobs)

    def step(self, state: Lamps, action: str) -> Step[Lamps]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        place = self.actions(state.knobs).index(action)
        cells = press(state.cells, state.knobs.size, place)
        lit = sum(cells)
        gain = sum(state.cells) - lit
        after = state.advance(gain, not lit, cells=cells)
        return Step(after, self.reward(state, after), gain, f"{action} pressed; {lit} lamps are lit")

    def scene(self, state: Lamps) -> Scene:
        return Scene(state.knobs.size, state.knobs.size, tuple([TILES[lamp] for lamp in state.cells]))

    def success(self, state: Lamps) -> bool:
        return not any(state.cells)

    def progress(self, state: Lamps) -> float:
        return max(0.0, 1 - sum(state.cells) / state.first)

    def read(self, words: str, state: Lamps) -> str:
        return read_cell(words) or super().read(words, state)

    def values(self, state: Lamps) -> Mapping[str, float]:
        return dict(zip(self.legal(state), judged(state.cells, state.knobs.size), strict=False))

    def think(self, state: Lamps) -> Thought | None:
        return None if state.over else think(state.cells, state.knobs.size)

    def facts(self, state: Lamps) -> frozenset[str]:
        return frozenset() if state.over else facts(state.cells, state.knobs.size)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
