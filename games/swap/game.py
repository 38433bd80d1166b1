"""Swap, a game of the kind of Shariki by Eugene Alemzhin (1994), with endless refill or none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from vlm_gym.dice import Dice
from vlm_gym.game import Game, GameKnobs, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

from . import solver
from .board import Grid, Refill, grid, traded
from .deal import pile, shuffled

COLORS = ("red", "blue", "green", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross", "hexagon")
CELLS = re.compile(r"\s*\(\s*([1-9]\d?)\s*,\s*([1-9]\d?)\s*\)" * 2 + r"\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SwapKnobs(GameKnobs):
    """The reasoning axis of Swap."""

    rows: int = knob(8, "rows", (4, 10))
    cols: int = knob(8, "columns", (4, 10))
    colors: int = knob(4, "colours; more kinds of tiles leave fewer swaps", (1, 6))
    shapes: int = knob(2, "shapes; equal tiles share colour and shape", (1, 8))
    refill: Literal["endless", "none"] = knob(
        "endless",
        "'endless': new tiles fall in; 'none': a pile of `target` tiles, a multiple of 3, is to be cleared",
        ("endless", "none"),
    )
    count: Literal["tiles", "swaps"] = knob(
        "tiles", "what scores: tiles cleared, or swaps", ("tiles", "swaps")
    )
    target: int = knob(75, "score to reach; 0: no goal", (0, 100_000))

    def __post_init__(self) -> None:
        """Check that such a board can be dealt."""
        super().__post_init__()
        cells = self.rows * self.cols
        piles = range(6, cells * 2 // 3 + 1, 3)
        if not 4 <= self.kinds <= cells:
            raise ValueError(f"colors*shapes={self.kinds} is not possible here; it takes 4 to {cells}")
        if self.refill == "none" and (self.target not in piles or self.count != "tiles"):
            raise ValueError(
                f"target={self.target} {self.count}: a pile takes 6, 9, ... or {piles[-1]} tiles"
            )

    @property
    def kinds(self) -> int:
        """Kinds of tiles; their bytes on a board run from 1 to this number."""
        return self.colors * self.shapes

    @property
    def grid(self) -> Grid:
        """The geometry of the board."""
        return grid(self.rows, self.cols)

    def refilling(self, dice: Dice) -> Refill:
        """Say where new tiles come from."""
        if self.refill == "none":
            return bytes
        return lambda count: bytes([1 + dice.below(self.kinds) for _ in range(count)])


@dataclass(frozen=True, kw_only=True)
class SwapState(State):
    """A position of Swap; `cells` is told in `board`."""

    knobs: SwapKnobs
    cells: bytes


@cache
def symbols(colors: int, shapes: int) -> tuple[Symbol | None, ...]:
    """List what a cell shows, by its byte."""
    return (None, *(Symbol("shape", shape, color) for color in COLORS[:colors] for shape in SHAPES[:shapes]))


class Swap(Game[SwapState]):
    """Swap. The game is over when the target is reached, or when a pile without refill has no swap left.

    The reward of a turn is a tenth for every tile that the swap itself puts in line, at most 1: what falls in
    later is luck and earns score alone. The swap that reaches the target earns 1.
    """

    name = "swap"
    title = "Swap"
    form = "two neighbours as (row,column) (row,column), such as (1,2) (1,3)"
    unit = "tiles"
    levels = (
        SwapKnobs(rows=4, cols=4, shapes=1, target=12, turns=10),
        SwapKnobs(rows=6, cols=6, colors=3, target=36, turns=10),
        SwapKnobs(turns=20),
        SwapKnobs(rows=6, cols=6, colors=3, refill="none", target=18, turns=20),
        SwapKnobs(colors=3, refill="none", target=30, turns=20),
    )
    presets = {"paper": SwapKnobs(shapes=3, count="swaps", target=0, reward="paper")}

    def rules(self, knobs: GameKnobs) -> str:
        """Tell the rules, with or without refill, and the target if there is one."""
        assert isinstance(knobs, SwapKnobs)
        comes = "new tiles fall in from the top" if knobs.refill == "endless" else "no new tiles come"
        what = "tiles cleared" if knobs.count == "tiles" else "swaps"
        goal = f"{knobs.target} {what}" if knobs.target else f"as many {what} as you can"
        return (
            "Two neighbouring tiles trade places so that three or more equal tiles stand in line, across or "
            f"down; equal tiles share colour and shape. They vanish, the tiles above fall, {comes}, and "
            f"new lines vanish, too. A swap that makes no line is not legal. Goal: {goal}."
        )

    def actions(self, knobs: GameKnobs) -> tuple[str, ...]:
        """List all pairs of neighbours."""
        assert isinstance(knobs, SwapKnobs)
        return knobs.grid.actions

    def start(self, seed: int, knobs: GameKnobs) -> SwapState:
        """Deal a full board without a line and with a legal swap, or a pile that can be cleared."""
        assert isinstance(knobs, SwapKnobs)
        # The dice of turn 0 belong to the first move.
        dice = Dice(seed, -1)
        if knobs.refill == "none":
            cells = pile(knobs.target, knobs.grid, knobs.kinds, dice)
        else:
            new = knobs.refilling(dice)
            cells = shuffled(new(knobs.rows * knobs.cols), knobs.grid, dice, new)
        return SwapState(knobs=knobs, seed=seed, cells=cells)

    def legal(self, state: SwapState) -> tuple[str, ...]:
        """List the swaps that make a line."""
        return () if state.over else state.knobs.grid.legal(state.cells)

    def step(self, state: SwapState, action: str) -> Step[SwapState]:
        """Swap, clear lines until none is left, and shuffle a full board that has no swap left."""
        knobs, grid = state.knobs, state.knobs.grid
        if state.over or action not in grid.legal(state.cells):
            raise self.refuse(state, action)
        dice = state.dice
        new = knobs.refilling(dice)
        cells = traded(state.cells, *grid.swaps[action])
        lined = grid.lines(cells).bit_count()
        cells, gone = grid.settle(cells, new)
        gain = gone if knobs.count == "tiles" else 1
        event = f"{action} cleared {gone} tiles"
        won = 0 < knobs.target <= state.score + gain
        stuck = not won and not grid.legal(cells)
        if won:
            event += "; the goal is reached"
        elif stuck and knobs.refill == "none":
            event += "; no swap is left"
        elif stuck:
            cells, stuck = shuffled(cells, grid, dice, new), False
            event += "; no swap was left, so the tiles were shuffled"
        reward = 1.0 if won or knobs.reward == "paper" else min(1.0, lined / 10)
        return Step(state.advance(gain, won or stuck, cells=cells), reward, gain, event)

    def scene(self, state: SwapState) -> Scene:
        """Show the tiles as coloured shapes."""
        knobs = state.knobs
        shown = symbols(knobs.colors, knobs.shapes)
        return Scene(knobs.rows, knobs.cols, tuple([shown[kind] for kind in state.cells]))

    def success(self, state: SwapState) -> bool:
        """Say whether the score has reached the target; never without a target."""
        return 0 < state.knobs.target <= state.score

    def measure(self, knobs: GameKnobs) -> Literal["score", "success"]:
        """Count wins where tiles fall in until the target is reached; of a pile, the tiles."""
        assert isinstance(knobs, SwapKnobs)
        return "success" if knobs.target and knobs.refill == "endless" else "score"

    def values(self, state: SwapState) -> Mapping[str, float]:
        """Judge swaps by the tiles in sight; a pile by searching for a way to clear it."""
        knobs = state.knobs
        return {} if state.over else solver.values(state.cells, knobs.grid, knobs.refill == "none")

    def reasons(self, state: SwapState, action: str) -> str:
        """Say what comes into line: `three red circle in row 4. red circle goes from (3,2) to (4,2).`"""
        knobs = state.knobs
        words = [symbol.words if symbol else "-" for symbol in symbols(knobs.colors, knobs.shapes)]
        return solver.reasons(state.cells, knobs.grid, action, words, knobs.refill == "none")

    def read(self, words: str) -> str:
        """Accept the two cells in either order and with any spaces."""
        match = CELLS.fullmatch(words)
        if not match:
            return super().read(words)
        numbers = [int(group) for group in match.groups()]
        (row, col), (other_row, other_col) = sorted((numbers[:2], numbers[2:]))
        return f"({row},{col}) ({other_row},{other_col})"
