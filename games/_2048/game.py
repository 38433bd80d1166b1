"""2048 by Gabriele Cirulli (2014), on square boards of several sizes and with any goal."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Literal

from vlm_gym.dice import Dice
from vlm_gym.game import Game, GameKnobs, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

from . import board, solver

TILES = (None, *(Symbol("number", str(1 << power)) for power in range(1, 64)))
"""What a cell shows, by its byte."""


@dataclass(frozen=True, kw_only=True)
class Knobs2048(GameKnobs):
    """The reasoning axis of 2048."""

    size: int = knob(4, "rows and columns; a smaller board forgives less", (3, 6))
    target: int = knob(128, "tile to make, a power of two from 8 up; 0: no goal", (0, 1 << 17))
    tiles: int = knob(2, "tiles dealt at the start; more of them shorten the way", (1, 9))
    fours: float = knob(0.1, "chance that a new tile is a 4 and not a 2", (0.0, 1.0))

    def __post_init__(self) -> None:
        """Check that the target is the number of a tile, and not one that is dealt."""
        super().__post_init__()
        if self.target and (self.target < 8 or self.target & (self.target - 1)):
            raise ValueError(f"target={self.target} is not possible; target takes 0 and 8, 16, 32, ...")


@dataclass(frozen=True, kw_only=True)
class State2048(State):
    """A position of 2048; `cells` is told in `board`, and `score` is the sum of all tiles made by merging."""

    knobs: Knobs2048
    cells: bytes


class Game2048(Game[State2048]):
    """2048. The game is over when the target is made, or when no move changes the board.

    The reward of a turn is log2(points) / log2(target), within [0, 1]: a merge earns the share of the way
    that its tile stands for, counted in doublings. Without a target, 2048 stands in for it.
    """

    name = "2048"
    title = "2048"
    form = "up, right, down or left"
    unit = "points"
    levels = (
        Knobs2048(target=16, tiles=8, turns=12),
        Knobs2048(target=64, turns=60),
        Knobs2048(),
        Knobs2048(size=3, target=64),
        Knobs2048(size=3),
    )
    presets = {"paper": Knobs2048(target=0, reward="paper")}

    def rules(self, knobs: GameKnobs) -> str:
        """Tell the rules, and the target if there is one."""
        assert isinstance(knobs, Knobs2048)
        goal = f"make a tile of {knobs.target}" if knobs.target else "score as many points as you can"
        return (
            "All tiles slide up, right, down or left as far as they can. Two equal tiles that meet merge "
            "into one of twice the number, which scores that number; a tile merges only once a move. Then a "
            "new 2 or 4 appears on an empty cell. A move that changes nothing is not legal. "
            f"Goal: {goal}."
        )

    def actions(self, knobs: GameKnobs) -> tuple[str, ...]:
        """List the four moves."""
        return board.ACTIONS

    def start(self, seed: int, knobs: GameKnobs) -> State2048:
        """Deal tiles to random cells of an empty board."""
        assert isinstance(knobs, Knobs2048)
        # The dice of turn 0 belong to the first move.
        cells, dice = bytes(knobs.size**2), Dice(seed, -1)
        for _ in range(knobs.tiles):
            cells = board.drop(cells, knobs.fours, dice)
        return State2048(knobs=knobs, seed=seed, cells=cells)

    def legal(self, state: State2048) -> tuple[str, ...]:
        """List the moves that change the board."""
        return () if state.over else tuple(board.moves(state.cells, state.knobs.size))

    def step(self, state: State2048, action: str) -> Step[State2048]:
        """Slide, merge, and let the state's dice place a new tile."""
        knobs = state.knobs
        move = None if state.over else board.moves(state.cells, knobs.size).get(action)
        if move is None:
            raise self.refuse(state, action)
        cells, points = board.drop(move.cells, knobs.fours, state.dice), move.points
        won = board.reached(cells, knobs.target)
        lost = not won and 0 not in cells and not board.moves(cells, knobs.size)
        if knobs.reward == "paper":
            reward = 1.0 if points else -1.0
        else:
            reward = min(1.0, log2(points or 1) / log2(knobs.target or 2048))
        event = f"{action} scored {points} points"
        event += f"; {knobs.target} is made" if won else "; no move is left" if lost else ""
        return Step(state.advance(points, won or lost, cells=cells), reward, points, event)

    def scene(self, state: State2048) -> Scene:
        """Show the tiles as numbers."""
        size = state.knobs.size
        return Scene(size, size, tuple([TILES[power] for power in state.cells]))

    def success(self, state: State2048) -> bool:
        """Say whether the target is on the board; never without a target."""
        return board.reached(state.cells, state.knobs.target)

    def measure(self, knobs: GameKnobs) -> Literal["score", "success"]:
        """Count wins where there is a target: who misses it plays on and scores more."""
        assert isinstance(knobs, Knobs2048)
        return "success" if knobs.target else "score"

    def values(self, state: State2048) -> Mapping[str, float]:
        """Judge moves by expectimax, in about a millisecond."""
        knobs = state.knobs
        return {} if state.over else solver.values(state.cells, knobs.size, knobs.fours, knobs.target)

    def reasons(self, state: State2048, action: str) -> str:
        """Say what the move merges: `left merges 8 and 8 in row 2. 16 is in a corner.`"""
        return solver.reasons(state.cells, state.knobs.size, state.knobs.target, action)
