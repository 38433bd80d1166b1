"""2048 by Gabriele Cirulli (2014), on square boards of several sizes and with any goal."""

from collections.abc import Mapping, Sequence
from math import log2

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, Step
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from .board import ACTIONS, drop, moves, reached
from .knobs import Knobs2048
from .solver import aim, judged
from .thought import GRAMMAR, conclude, facts, think

STANDARD = 2048
"""The target by which progress is measured where there is none."""
TILES = (None, *(Symbol("number", str(1 << power)) for power in range(1, 64)))
"""What a cell shows, by its byte."""


class Game2048(Game[Board[Knobs2048], Knobs2048]):
    """2048. The game is over when the target is made, or when no move changes the board.

    The score is the sum of all tiles made by merging. Progress is counted in doublings: log2 of the norm of
    the tiles, scaled to 0 for the first tiles and to 1 for the target. Without a target, it is that to 2048.
    """

    name = title = "2048"
    form = "up, right, down or left"
    unit = "points"
    grammar = GRAMMAR
    levels = (
        Knobs2048(target=16, tiles=8, turns=12),
        Knobs2048(target=64, turns=60),
        Knobs2048(),
        Knobs2048(size=3, target=64),
        Knobs2048(size=3),
    )
    presets = {"paper": Knobs2048(target=0, reward="paper")}

    def rules(self, knobs: Knobs2048) -> str:
        goal = f"make a tile of {knobs.target}" if knobs.target else "score as many points as you can"
        return (
            "All tiles slide up, right, down or left as far as they can. Two equal tiles that meet merge "
            "into one of twice the number, which scores that number; a tile merges only once a move. Then a "
            f"new 2 or 4 appears on an empty cell. A move that changes nothing is not legal. Goal: {goal}."
        )

    def actions(self, knobs: Knobs2048) -> tuple[str, ...]:
        return ACTIONS

    def start(self, seed: int, knobs: Knobs2048) -> Board[Knobs2048]:
        cells = bytes(knobs.size**2)
        dice = Dice(seed, DEAL)
        for _ in range(knobs.tiles):
            cells = drop(cells, knobs.fours, dice)
        return Board(knobs=knobs, seed=seed, cells=cells)

    def legal(self, state: Board[Knobs2048]) -> tuple[str, ...]:
        return () if state.over else tuple(moves(state.cells, state.knobs.size))

    def step(self, state: Board[Knobs2048], action: str) -> Step[Board[Knobs2048]]:
        knobs = state.knobs
        if action not in self.legal(state):
            raise self.refuse(state, action)
        slid, points = moves(state.cells, knobs.size)[action]
        cells = drop(slid, knobs.fours, state.dice)
        won = reached(cells, knobs.target)
        lost = not won and 0 not in cells and not moves(cells, knobs.size)
        event = f"{action} scored {points} points"
        if won:
            event += f"; {knobs.target} is made"
        elif lost:
            event += "; no move is left"
        after = state.advance(points, won or lost, cells=cells)
        reward = self.reward(state, after)
        if knobs.reward == "progress":
            reward = min(1.0, log2(points or 1) / log2(knobs.target or STANDARD))
        return Step(after, reward, points, event)

    def scene(self, state: Board[Knobs2048]) -> Scene:
        shown = tuple([TILES[power] for power in state.cells])
        return Scene(state.knobs.size, state.knobs.size, shown)

    def success(self, state: Board[Knobs2048]) -> bool:
        return reached(state.cells, state.knobs.target)

    def progress(self, state: Board[Knobs2048]) -> float:
        knobs = state.knobs
        # The norm of the tiles grows with every merge, and most with those of high tiles.
        squares = sum(4**power for power in state.cells if power)
        first = 4.0 * knobs.tiles  # as if all first tiles were 2
        goal = float(knobs.target or STANDARD) ** 2
        done = log2(squares / first) / log2(goal / first)
        return min(1.0, max(0.0, done))

    def values(self, state: Board[Knobs2048]) -> Mapping[str, float]:
        """Judge a move: 1 if it makes the target, else in [0, 1) by points or by search (`solver`)."""
        return {} if state.over else judged(*_position(state))

    def think(self, state: Board[Knobs2048]) -> Thought | None:
        return None if state.over else think(*_position(state))

    def facts(self, state: Board[Knobs2048]) -> frozenset[str]:
        return frozenset() if state.over else facts(*_position(state))

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)


def _position(state: Board[Knobs2048]) -> tuple[bytes, int, int, float, int]:
    knobs = state.knobs
    return state.cells, knobs.size, knobs.target, knobs.fours, aim(knobs.target, knobs.turns)
