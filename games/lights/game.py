"""Lights Out by Tiger Electronics (1995), on square boards of several sizes."""

from collections.abc import Mapping, Sequence

from vlm_gym.cells import cell_names, read_cell
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from . import thought
from .board import deal, press
from .solver import judged
from .state import Knobs, Lamps

TILES = (None, Symbol("shape", "circle", "yellow"))
"""What a cell shows, by its byte: 0 is dark, 1 is lit."""


class Lights(Game[Lamps, Knobs]):
    """Lights Out. The game is over when all lamps are dark. Progress is the share of the first lamps."""

    name = "lights"
    title = "Lights Out"
    form = "a cell as (row,column), such as (1,2)"
    unit = "lamps"
    grammar = thought.GRAMMAR
    levels = (
        Knobs(size=4, presses=3, turns=13),
        Knobs(size=4, presses=4, turns=11),
        Knobs(presses=5, turns=13),
        Knobs(presses=7, turns=15),
        Knobs(size=6, presses=9, turns=18),
    )

    def rules(self, knobs: Knobs) -> str:
        return (
            "A press on a cell switches its lamp and those above, below, left and right of it: a lit lamp "
            "goes dark, a dark one is lit. Dark lamps look like empty cells. Goal: make all lamps dark."
        )

    def actions(self, knobs: Knobs) -> tuple[str, ...]:
        return cell_names(knobs.size, knobs.size)

    def start(self, seed: int, knobs: Knobs) -> Lamps:
        cells = deal(knobs.size, knobs.presses, Dice(seed, DEAL))
        return Lamps(knobs=knobs, seed=seed, cells=cells, first=sum(cells))

    def step(self, state: Lamps, action: str) -> Step[Lamps]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        cell = self.actions(state.knobs).index(action)
        cells = press(state.cells, state.knobs.size, cell)
        gain = sum(state.cells) - sum(cells)
        after = state.advance(gain, not any(cells), cells=cells)
        return Step(after, self.reward(state, after), gain, f"{action} pressed; {sum(cells)} lamps are lit")

    def scene(self, state: Lamps) -> Scene:
        return Scene(state.knobs.size, state.knobs.size, tuple([TILES[lamp] for lamp in state.cells]))

    def success(self, state: Lamps) -> bool:
        return not any(state.cells)

    def progress(self, state: Lamps) -> float:
        return max(0.0, 1 - sum(state.cells) / state.first)

    def read(self, words: str, state: Lamps) -> str:
        return read_cell(words) or super().read(words, state)

    def values(self, state: Lamps) -> Mapping[str, float]:
        if state.over:
            return {}
        return dict(zip(self.legal(state), judged(state.cells, state.knobs.size), strict=True))

    def think(self, state: Lamps) -> Thought | None:
        return None if state.over else thought.think(state.cells, state.knobs.size)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return thought.conclude(steps)
