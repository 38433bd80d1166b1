"""Swap, a game of the kind of Shariki by Eugene Alemzhin (1994), with endless refill or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vlm_gym.cells import names, neighbours, read_pair
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, GameKnobs, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import COLORS, SHAPES, Scene, Symbol

from .board import Grid, clears, grid, values
from .deal import pile, shuffled

TILES = [
    (None, *(Symbol("shape", shape, color) for color in COLORS for shape in SHAPES[:shapes]))
    for shapes in range(len(SHAPES) + 1)
]
"""What a cell shows, by the number of shapes and the cell's byte."""
STANDARD = 100
"""The score by which progress is measured where there is no target."""
NUMBERS = {3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True, kw_only=True)
class SwapKnobs(GameKnobs):
    """The reasoning axis of Swap."""

    rows: int = knob(8, "rows", (3, 10))
    cols: int = knob(8, "columns", (3, 10))
    colors: int = knob(4, "colours; more kinds of tiles leave fewer swaps", (1, 6))
    shapes: int = knob(2, "shapes; equal tiles share colour and shape", (1, 8))
    refill: Literal["endless", "none"] = knob(
        "endless",
        "'endless': new tiles fall in; 'none': a pile of `target` tiles, a multiple of 3, is to be cleared",
        ("endless", "none"),
    )
    count: Literal["tiles", "swaps"] = knob("tiles", "what scores: tiles or swaps", ("tiles", "swaps"))
    target: int = knob(75, "score to reach; 0: no goal", (0, 100_000))
    reward: str = knob(
        "goal",
        "as in every game; 'progress', of earlier versions: a tenth for each tile that the swap lines up",
        ("goal", "progress", "paper"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        cells, kinds = self.rows * self.cols, self.colors * self.shapes
        most = cells * 2 // 9 * 3
        if not 4 <= kinds <= cells:
            raise ValueError(f"colors*shapes={kinds} is not possible here; it takes 4 to {cells}")
        if self.refill == "none" and (self.target not in range(6, most + 1, 3) or self.count != "tiles"):
            raise ValueError(f"target={self.target} {self.count}: a pile takes 6, 9, ... or {most} tiles")

    @property
    def grid(self) -> Grid:
        return grid(self.rows, self.cols, self.colors * self.shapes)


def run(line: bytes, at: int) -> int:
    """Count the equal tiles in a row around a place."""
    kind = line[at : at + 1]
    return len(line) - len(line[at:].lstrip(kind)) - len(line[:at].rstrip(kind))


class Swap(Game[Board[SwapKnobs], SwapKnobs]):
    """Swap. The game is over when the target is reached, or when a pile without refill has no swap left.

    Progress is the share of the target; without one, of 100.
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

    def rules(self, knobs: SwapKnobs) -> str:
        comes = "new tiles fall in from the top" if knobs.refill == "endless" else "no new tiles come"
        what = "tiles cleared" if knobs.count == "tiles" else "swaps"
        goal = f"{knobs.target} {what}" if knobs.target else f"as many {what} as you can"
        return (
            "Two neighbouring tiles trade places so that three or more equal tiles stand in line, across or "
            f"down; equal tiles share colour and shape. They vanish, the tiles above fall, {comes}, and "
            f"new lines vanish, too. A swap that makes no line is not legal. Goal: {goal}."
        )

    def actions(self, knobs: SwapKnobs) -> tuple[str, ...]:
        return tuple(neighbours(knobs.rows, knobs.cols))

    def start(self, seed: int, knobs: SwapKnobs) -> Board[SwapKnobs]:
        grid, dice = knobs.grid, Dice(seed, DEAL)
        if knobs.refill == "none":
            cells = pile(knobs.target, grid, dice)
        else:
            cells = shuffled(grid.new(knobs.rows * knobs.cols, dice), grid, dice)
        return Board(knobs=knobs, seed=seed, cells=cells)

    def legal(self, state: Board[SwapKnobs]) -> tuple[str, ...]:
        return () if state.over else state.knobs.grid.legal(state.cells)

    def step(self, state: Board[SwapKnobs], action: str) -> Step[Board[SwapKnobs]]:
        """Swap, clear lines until none is left, and shuffle a full board that has no swap left."""
        knobs, grid, dice = state.knobs, state.knobs.grid, state.dice
        if action not in self.legal(state):
            raise self.refuse(state, action)
        new = dice if knobs.refill == "endless" else None
        cells, waves = grid.settle(grid.swap(state.cells, action), new)
        gain = sum(waves) if knobs.count == "tiles" else 1
        won = 0 < knobs.target <= state.score + gain
        stuck = not won and not grid.legal(cells)
        event = f"{action} cleared {sum(waves)} tiles" + "; the goal is reached" * won
        if stuck and knobs.refill == "endless":
            cells, stuck = shuffled(cells, grid, dice), False
            event += "; no swap was left, so the tiles were shuffled"
        event += "; no swap is left" * stuck
        after = state.advance(gain, won or stuck, cells=cells)
        reward = self.reward(state, after)
        if knobs.reward == "progress":
            reward = 1.0 if won else min(1.0, waves[0] / 10)
        return Step(after, reward, gain, event)

    def scene(self, state: Board[SwapKnobs]) -> Scene:
        knobs, tiles = state.knobs, TILES[state.knobs.shapes]
        return Scene(knobs.rows, knobs.cols, tuple([tiles[kind] for kind in state.cells]))

    def success(self, state: Board[SwapKnobs]) -> bool:
        return 0 < state.knobs.target <= state.score

    def progress(self, state: Board[SwapKnobs]) -> float:
        return min(1.0, state.score / (state.knobs.target or STANDARD))

    def values(self, state: Board[SwapKnobs]) -> Mapping[str, float]:
        return {} if state.over else values(state.cells, state.knobs.grid, state.knobs.refill == "none")

    def reasons(self, state: Board[SwapKnobs], action: str) -> str:
        """Say what comes in line: `three red heart in row 4. red heart goes from (3,2) to (4,2).`"""
        grid, name, says = state.knobs.grid, names(state.knobs.rows, state.knobs.cols), []
        swap, after, tiles = grid.swaps[action], grid.swap(state.cells, action), self.scene(state).grid()
        for source, place in (swap, swap[::-1]):
            (row, col), tile = divmod(place, grid.cols), tiles[source // grid.cols][source % grid.cols]
            runs = (
                (f"row {row + 1}", run(after[place - col :][: grid.cols], col)),
                (f"column {col + 1}", run(after[col :: grid.cols], row)),
            )
            lines = [f"{NUMBERS[length]} {tile} in {line}." for line, length in runs if length >= 3]
            says += [*lines, f"{tile} goes from {name[source]} to {name[place]}."] if lines else []
        left, waves = grid.settle(after)
        if state.knobs.refill == "none" and clears(left, grid, {}):
            says.append("all other tiles can be cleared then.")
        elif len(waves) > 1:
            says.append(f"{sum(waves)} tiles go in all.")
        return " ".join(says[:3])

    def read(self, words: str, state: Board[SwapKnobs]) -> str:
        return read_pair(words) or super().read(words, state)
