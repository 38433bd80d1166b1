"""Connect Four by Howard Wexler (1974), against an opponent that looks some turns ahead."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from vlm_gym.game import Board, Game, Step
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from . import thought
from .board import THEY, YOU, discs, drop, longest
from .deal import deal
from .knobs import Knobs
from .search import replies

DISCS = (None, Symbol("icon", "disc", "red"), Symbol("icon", "disc", "yellow"))
"""What a cell shows, by its byte."""
_COLUMN = re.compile(r"(?:column )?([1-9]\d?)", re.ASCII)


@lru_cache(maxsize=1 << 12)  # a turn asks three times, and few top rows are possible
def open_columns(top: bytes) -> tuple[str, ...]:
    """List the columns that take a disc, in words, by the cells of the top row."""
    return tuple([f"column {number}" for number, disc in enumerate(top, 1) if not disc])


class ConnectFour(Game[Board[Knobs], Knobs]):
    """Connect Four. The opponent answers within a step. A full board without a line is a draw: no success.

    Progress is 1 for a win, 0.5 for a draw and 0 for a loss; before that it is at most 0.5, by the longest
    line of the player that the opponent does not block.
    """

    name = "connect_four"
    title = "Connect Four"
    form = "a column, such as column 4"
    unit = "wins"
    grammar = thought.GRAMMAR
    levels = (
        Knobs(rows=5, cols=6, depth=0, opening=3, turns=18),
        Knobs(depth=1, first="opponent", turns=24),
        Knobs(depth=2, turns=24),
        Knobs(depth=3, first="opponent", turns=24),
        Knobs(depth=5, first="opponent", turns=24),
    )

    def rules(self, knobs: Knobs) -> str:
        return (
            "You and the opponent take turns to drop a disc into a column. It falls onto the lowest free "
            "cell. A full column takes no disc. Your discs are red, the opponent's are yellow. "
            f"Goal: be the first with {knobs.connect} of your discs in a line, across, down or diagonal."
        )

    def actions(self, knobs: Knobs) -> tuple[str, ...]:
        return open_columns(bytes(knobs.cols))

    def read(self, words: str, state: Board[Knobs]) -> str:
        folded = super().read(words, state)
        match = _COLUMN.fullmatch(folded)
        return f"column {match[1]}" if match else folded

    def start(self, seed: int, knobs: Knobs) -> Board[Knobs]:
        return Board(knobs=knobs, seed=seed, cells=deal(seed, knobs))

    def legal(self, state: Board[Knobs]) -> tuple[str, ...]:
        return () if state.over else open_columns(state.cells[: state.knobs.cols])

    def step(self, state: Board[Knobs], action: str) -> Step[Board[Knobs]]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        shape = state.knobs.shape
        col = int(action.removeprefix("column ")) - 1
        cells, won = drop(state.cells, col, YOU, shape)
        if won:
            return self._end(state, cells, 1.0, f"{action} makes a line")
        if 0 not in cells:
            return self._end(state, cells, 0.0, "the board is full")
        reply = state.dice.choice(replies(cells, shape, state.knobs.depth))
        cells, lost = drop(cells, reply, THEY, shape)
        event = f"the opponent plays column {reply + 1}"
        if lost or 0 not in cells:
            return self._end(state, cells, 0.0, f"{event}, {'a line' if lost else 'the last one'}")
        after = state.advance(0.0, False, cells=cells)
        return Step(after, self.reward(state, after), 0.0, event)

    def _end(self, state: Board[Knobs], cells: bytes, score: float, event: str) -> Step[Board[Knobs]]:
        after = state.advance(score, True, cells=cells)
        return Step(after, self.reward(state, after), score, event)

    def scene(self, state: Board[Knobs]) -> Scene:
        return Scene(state.knobs.rows, state.knobs.cols, tuple([DISCS[disc] for disc in state.cells]))

    def success(self, state: Board[Knobs]) -> bool:
        return state.score > 0

    def progress(self, state: Board[Knobs]) -> float:
        shape = state.knobs.shape
        if state.score:
            return 1.0
        if state.over:
            lost = longest(discs(state.cells, THEY), 0, shape) == shape.connect
            return 0.0 if lost else 0.5
        own = longest(discs(state.cells, YOU), discs(state.cells, THEY), shape)
        return 0.5 * max(0, own - 1) / (shape.connect - 1)

    def values(self, state: Board[Knobs]) -> Mapping[str, float]:
        return {} if state.over else thought.values(state.cells, state.knobs.shape)

    def think(self, state: Board[Knobs]) -> Thought | None:
        return None if state.over else thought.think(state.cells, state.knobs.shape)

    def facts(self, state: Board[Knobs]) -> frozenset[str]:
        return frozenset() if state.over else thought.facts(state.cells, state.knobs.shape)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return thought.conclude(steps)
