"""Minesweeper by Curt Johnson and Robert Donner (1990), on square boards.

The deal opens the first cell, which is safe, so that every deal can be checked for guesses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vlm_gym.cells import cell_names, read_cell
from vlm_gym.dice import Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from .board import HIDDEN, opened, opened_cells
from .deal import laid
from .drawing import drawn
from .solver import redrawn, risks
from .state import Field, MinesweeperKnobs
from .thought import GRAMMAR, conclude, facts, think


class Minesweeper(Game[Field, MinesweeperKnobs]):
    """Minesweeper. The game is over when all cells without a mine are open, or when a mine is opened.

    Progress is the share of the cells without a mine that were not open in the deal.
    """

    name = "minesweeper"
    title = "Minesweeper"
    form = "a cell to open as (row,column), such as (1,2)"
    unit = "cells"
    grammar = GRAMMAR
    levels = (
        MinesweeperKnobs(mines=3, turns=20),
        MinesweeperKnobs(size=5, mines=5, turns=18),
        MinesweeperKnobs(turns=25),
        MinesweeperKnobs(size=7, mines=10, turns=40),
        MinesweeperKnobs(size=8, mines=14, guesses="some", turns=40),
    )

    def rules(self, knobs: MinesweeperKnobs) -> str:
        return (
            f"{knobs.mines} of the cells hide a mine. An open cell shows how many of its up to eight "
            "neighbours hide one; it is empty where none does, and then its neighbours are open, too. "
            "Opening a mine loses. "
            "Goal: open all cells without a mine."
        )

    def actions(self, knobs: MinesweeperKnobs) -> tuple[str, ...]:
        return cell_names(knobs.size, knobs.size)

    def start(self, seed: int, knobs: MinesweeperKnobs) -> Field:
        mines, shown = laid(seed, knobs)
        return Field(knobs=knobs, seed=seed, mines=mines, shown=shown, first=opened_cells(shown))

    def legal(self, state: Field) -> tuple[str, ...]:
        if state.over:
            return ()
        named = zip(self.actions(state.knobs), state.shown, strict=True)
        return tuple([action for action, number in named if number == HIDDEN])

    def step(self, state: Field, action: str) -> Step[Field]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        cell = self.actions(state.knobs).index(action)
        if cell in state.mines:
            after = state.advance(0, True, hit=cell)
            return Step(after, self.reward(state, after), 0, f"{action} hides a mine; the game is lost")
        shown = opened(state.shown, frozenset(state.mines), state.knobs.size, cell)
        gain = opened_cells(shown) - opened_cells(state.shown)
        won = shown.count(HIDDEN) == len(state.mines)
        after = state.advance(gain, won, shown=shown)
        event = f"{action} opened {gain} cells"
        if won:
            event += "; no other cell is safe, the game is won"
        return Step(after, self.reward(state, after), gain, event)

    def scene(self, state: Field) -> Scene:
        return Scene(state.knobs.size, state.knobs.size, drawn(state.shown, state.hit))

    def success(self, state: Field) -> bool:
        return state.shown.count(HIDDEN) == len(state.mines)

    def progress(self, state: Field) -> float:
        safe = len(state.shown) - len(state.mines)
        return (opened_cells(state.shown) - state.first) / (safe - state.first)

    def read(self, words: str, state: Field) -> str:
        return read_cell(words) or super().read(words, state)

    def key(self, state: Field) -> str:
        return f"{super().key(state)}\n{state.mines}"

    def imagine(self, state: Field, dice: Dice) -> Field:
        other = super().imagine(state, dice)
        if state.over:
            return other
        mines = redrawn(state.shown, state.knobs.size, state.knobs.mines, dice)
        return replace(other, mines=tuple(sorted(mines)))

    def values(self, state: Field) -> Mapping[str, float]:
        """Judge a cell by the chance that it is safe, if all layouts that fit are equally likely."""
        if state.over:
            return {}
        risk = risks(state.shown, state.knobs.size, state.knobs.mines)
        # Both are in the order of the hidden cells.
        return {action: 1 - mined for action, mined in zip(self.legal(state), risk.values(), strict=True)}

    def think(self, state: Field) -> Thought | None:
        return None if state.over else think(state.shown, state.knobs.size, state.knobs.mines)

    def facts(self, state: Field) -> frozenset[str]:
        return frozenset() if state.over else facts(state.shown, state.knobs.size, state.knobs.mines)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
