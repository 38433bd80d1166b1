"""Swap, a game of the kind of Shariki by Eugene Alemzhin (1994), with endless refill or none."""

from collections.abc import Mapping, Sequence

from vlm_gym.cells import neighbours, read_pair
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, Step
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from .board import Grid
from .deal import pile, shuffled
from .drawing import TILES
from .knobs import SwapKnobs
from .solver import values
from .thought import GRAMMAR, conclude, facts, think

STANDARD = 100
"""The score by which progress is measured where there is no target."""


class Swap(Game[Board[SwapKnobs], SwapKnobs]):
    """Swap. The game is over when the target is reached, or when a pile without refill has no swap left.

    Progress is the share of the target; without one, of 100.
    """

    name = "swap"
    title = "Swap"
    form = "two neighbours as (row,column) (row,column), such as (1,2) (1,3)"
    unit = "tiles"
    grammar = GRAMMAR
    levels = (
        SwapKnobs(rows=4, cols=4, shapes=1, target=12, turns=10),
        SwapKnobs(rows=6, cols=6, colors=3, target=36, turns=10),
        SwapKnobs(turns=20),
        SwapKnobs(rows=6, cols=6, colors=3, refill="none", target=18, turns=20),
        SwapKnobs(colors=3, refill="none", target=30, turns=20),
    )
    presets = {"paper": SwapKnobs(shapes=3, count="swaps", target=0, reward="paper")}

    def rules(self, knobs: SwapKnobs) -> str:
        refill = "new tiles fall in from the top" if knobs.refill == "endless" else "no new tiles come"
        unit = "tiles cleared" if knobs.count == "tiles" else "swaps"
        goal = f"{knobs.target} {unit}" if knobs.target else f"as many {unit} as you can"
        return (
            "Two neighbouring tiles trade places so that three or more equal tiles stand in line, across or "
            f"down; equal tiles share colour and shape. They vanish, the tiles above fall, {refill}, and "
            f"new lines vanish, too. A swap that makes no line is not legal. Goal: {goal}."
        )

    def actions(self, knobs: SwapKnobs) -> tuple[str, ...]:
        return tuple(neighbours(knobs.rows, knobs.cols))

    def start(self, seed: int, knobs: SwapKnobs) -> Board[SwapKnobs]:
        grid = knobs.grid
        dice = Dice(seed, DEAL)
        if knobs.refill == "none":
            cells = pile(knobs.target, grid, dice)
        else:
            cells = shuffled(grid.new(knobs.rows * knobs.cols, dice), grid, dice)
        return Board(knobs=knobs, seed=seed, cells=cells)

    def legal(self, state: Board[SwapKnobs]) -> tuple[str, ...]:
        return () if state.over else state.knobs.grid.legal(state.cells)

    def step(self, state: Board[SwapKnobs], action: str) -> Step[Board[SwapKnobs]]:
        """Swap, clear lines until none is left, and shuffle a full board that has no swap left."""
        knobs = state.knobs
        grid = knobs.grid
        dice = state.dice
        if action not in self.legal(state):
            raise self.refuse(state, action)
        endless = knobs.refill == "endless"
        cells, waves = grid.settle(grid.swap(state.cells, action), dice if endless else None)
        gain = sum(waves) if knobs.count == "tiles" else 1
        won = 0 < knobs.target <= state.score + gain
        stuck = not won and not grid.legal(cells)
        event = f"{action} cleared {sum(waves)} tiles" + "; the goal is reached" * won
        if stuck and endless:
            cells = shuffled(cells, grid, dice)
            stuck = False
            event += "; no swap was left, so the tiles were shuffled"
        event += "; no swap is left" * stuck
        after = state.advance(gain, won or stuck, cells=cells)
        reward = self.reward(state, after)
        if knobs.reward == "progress":
            reward = 1.0 if won else min(1.0, waves[0] / 10)
        return Step(after, reward, gain, event)

    def scene(self, state: Board[SwapKnobs]) -> Scene:
        tiles = TILES[state.knobs.shapes]
        return Scene(state.knobs.rows, state.knobs.cols, tuple([tiles[kind] for kind in state.cells]))

    def success(self, state: Board[SwapKnobs]) -> bool:
        return 0 < state.knobs.target <= state.score

    def progress(self, state: Board[SwapKnobs]) -> float:
        return min(1.0, state.score / (state.knobs.target or STANDARD))

    def values(self, state: Board[SwapKnobs]) -> Mapping[str, float]:
        """Judge a swap: by the tiles it takes; of a pile, by the share that can go (`solver`)."""
        knobs = state.knobs
        return {} if state.over else values(state.cells, knobs.grid, knobs.pile, knobs.alike)

    def think(self, state: Board[SwapKnobs]) -> Thought | None:
        return None if state.over else think(*_position(state))

    def facts(self, state: Board[SwapKnobs]) -> frozenset[str]:
        return frozenset() if state.over else facts(*_position(state))

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)

    def read(self, words: str, state: Board[SwapKnobs]) -> str:
        return read_pair(words) or super().read(words, state)


def _position(state: Board[SwapKnobs]) -> tuple[bytes, Grid, tuple[Symbol | None, ...], bool, bool]:
    return state.cells, state.knobs.grid, TILES[state.knobs.shapes], state.knobs.pile, state.knobs.alike
