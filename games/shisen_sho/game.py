"""Shisen-Sho, as in the arcade game by Tamtex (1989), on rectangles and with any number of kinds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations
from operator import itemgetter
from typing import ClassVar

from vlm_gym.dice import Dice
from vlm_gym.game import Game, GameKnobs, Plan, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

from . import solver
from .deal import careless, deal
from .paths import Link, corners, count, links, take

SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart")
COLORS = ("red", "blue", "green", "yellow", "purple", "orange")
TILES = (None, *(Symbol("shape", shape, color) for shape in SHAPES for color in COLORS))
"""What a cell shows, by its byte."""
CELLS = re.compile(r"\s*\(\s*([1-9]\d?)\s*,\s*([1-9]\d?)\s*\)" * 2 + r"\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ShisenShoKnobs(GameKnobs):
    """The reasoning axis of Shisen-Sho."""

    rows: int = knob(6, "rows of tiles", (2, 12))
    cols: int = knob(6, "columns of tiles", (2, 12))
    kinds: int = knob(9, "kinds of tiles, as equally frequent as pairs allow", (1, 36))
    bends: int = knob(2, "turns that a path may make; with one, fewer pairs can be taken", (1, 2))
    draws: int = knob(1, "deals drawn, at most, to find one on which careless play gets stuck", (1, 64))

    def __post_init__(self) -> None:
        """Check that the tiles make pairs, one of each kind at least."""
        super().__post_init__()
        cells = self.rows * self.cols
        if cells % 2 or self.kinds > cells // 2:
            raise ValueError(
                f"kinds={self.kinds} on rows={self.rows}, cols={self.cols} is not possible; "
                "rows or cols is even, and kinds at most half the number of cells"
            )


@dataclass(frozen=True, kw_only=True)
class ShisenShoState(State):
    """A position of Shisen-Sho; `board` is told in `paths`."""

    knobs: ShisenShoKnobs
    board: bytes


class ShisenSho(Game[ShisenShoState]):
    """Shisen-Sho. The game is over when the board is cleared, or when no pair can be taken.

    Every deal can be cleared. A pair earns 1, but 0 if it leaves tiles of which no pair can be taken.
    """

    name = "shisen_sho"
    title = "Shisen-Sho"
    form = "two cells as (row,column) (row,column), such as (1,2) (3,4)"
    unit = "pairs"
    levels: ClassVar[tuple[ShisenShoKnobs, ...]] = (
        ShisenShoKnobs(rows=4, cols=4, kinds=4, turns=16),
        ShisenShoKnobs(rows=4, cols=6, kinds=6, turns=24),
        ShisenShoKnobs(turns=36),
        ShisenShoKnobs(rows=8, cols=8, kinds=16, bends=1, turns=64),
        ShisenShoKnobs(rows=12, cols=12, kinds=36, bends=1, draws=8, turns=144),
    )
    presets: ClassVar[Mapping[str, ShisenShoKnobs]] = {"paper": ShisenShoKnobs(reward="paper", turns=30)}
    equal = "of one shape and colour"

    def rules(self, knobs: GameKnobs) -> str:
        """Tell the rules, and how often a path may turn."""
        assert isinstance(knobs, ShisenShoKnobs)
        turns = "once" if knobs.bends == 1 else "twice"
        return (
            f"Take away two tiles {self.equal} that a path joins. A path runs across and down, turns {turns} "
            "at most, and crosses no tile; it may run around the board, one cell outside. "
            "Goal: take away all tiles."
        )

    def actions(self, knobs: GameKnobs) -> tuple[str, ...]:
        """List all pairs of cells."""
        assert isinstance(knobs, ShisenShoKnobs)
        return _actions(knobs.rows, knobs.cols)

    def start(self, seed: int, knobs: GameKnobs) -> ShisenShoState:
        """Deal a full board that can be cleared."""
        assert isinstance(knobs, ShisenShoKnobs)
        # The dice of turn 0 belong to the first move.
        dice = Dice(seed, -1)
        kinds = self.kinds(knobs, dice)
        tiles = bytes([kinds[cell // 2 % knobs.kinds] for cell in range(knobs.rows * knobs.cols)])
        for draw in range(knobs.draws):
            board = deal(tiles, knobs.cols, knobs.bends, dice)
            if draw < knobs.draws - 1 and any(careless(board, knobs.cols, knobs.bends)):
                break
        return ShisenShoState(knobs=knobs, seed=seed, board=board)

    def kinds(self, knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
        """Choose the kinds of a deal. The first six differ in both shape and colour."""
        shapes, colors = list(range(6)), list(range(6))
        dice.shuffle(shapes)
        dice.shuffle(colors)
        return [1 + 6 * shapes[n % 6] + colors[(n + n // 6) % 6] for n in range(knobs.kinds)]

    def legal(self, state: ShisenShoState) -> tuple[str, ...]:
        """List the pairs that can be taken."""
        return tuple(_moves(state.board, state.knobs.cols, state.knobs.bends))

    def step(self, state: ShisenShoState, action: str) -> Step[ShisenShoState]:
        """Take a pair away."""
        link, knobs = self._link(state, action), state.knobs
        board = take(state.board, [link])
        left = count(board)
        over = not _moves(board, knobs.cols, knobs.bends)
        stuck = over and left > 0
        reward = 0.0 if stuck and knobs.reward == "progress" else 1.0
        event = f"{action} took two {self._name(state, link)}; {left} tiles left" + ", none to take" * stuck
        return Step(state.advance(1, over, board=board), reward, 1, event)

    def scene(self, state: ShisenShoState) -> Scene:
        """Show the tiles as coloured shapes."""
        return Scene(state.knobs.rows, state.knobs.cols, tuple([TILES[kind] for kind in state.board]))

    def success(self, state: ShisenShoState) -> bool:
        """Say whether the board is cleared."""
        return not any(state.board)

    def values(self, state: ShisenShoState) -> Mapping[str, float]:
        """Judge each pair by the share of tiles that can go if it is taken, as told in `solver`."""
        knobs = state.knobs
        judged = solver.judge(state.board, knobs.cols, knobs.bends)
        return {_word(link.first, link.second, knobs.cols): value for link, value in judged}

    def solve(self, state: ShisenShoState) -> Plan | None:
        """Advise the nearest pair after which the board can be cleared, if any, else the best by `values`."""
        knobs = state.knobs
        judged = list(solver.judge(state.board, knobs.cols, knobs.bends, until_clear=True))
        if not judged:
            return None
        link, value = max(judged, key=itemgetter(1))
        action = _word(link.first, link.second, knobs.cols)
        return Plan(action, value, self.reasons(state, action))

    def reasons(self, state: ShisenShoState, action: str) -> str:
        """Say how the pair is joined, where its path turns, and whether the other tiles can go.

        `Two red circle at (1,2) and (1,5), joined by 2 turns. The path turns at (0,2) and (0,5). The other 8
        tiles can go.` Without turns they are `side by side` or `in line`.
        """
        link, knobs = self._link(state, action), state.knobs
        turns = " and ".join(f"({row},{col})" for row, col in corners(link, knobs.cols))
        joined = ("in line", "joined by 1 turn", "joined by 2 turns")[link.turns]
        joined = "side by side" if link.distance == 1 else joined
        text = f"Two {self._name(state, link)} at {action.replace(' ', ' and ')}, {joined}."
        text += f" The path turns at {turns}." if turns else ""
        board = take(state.board, [link])
        if any(board) and solver.can_clear(board, knobs.cols, knobs.bends):
            text += f" The other {count(board)} tiles can go."
        return text

    def read(self, words: str) -> str:
        """Take the two cells in either order, with any spacing."""
        match = CELLS.fullmatch(words)
        if not match:
            return super().read(words)
        row, col, row_b, col_b = map(int, match.groups())
        first, second = sorted([(row, col), (row_b, col_b)])
        return f"({first[0]},{first[1]}) ({second[0]},{second[1]})"

    def _link(self, state: ShisenShoState, action: str) -> Link:
        link = _moves(state.board, state.knobs.cols, state.knobs.bends).get(action)
        if link is None:
            raise self.refuse(state, action)
        return link

    def _name(self, state: ShisenShoState, link: Link) -> str:
        symbol = self.scene(state).cells[link.first]
        assert symbol is not None
        return symbol.words


@cache
def _word(first: int, second: int, cols: int) -> str:
    return " ".join(f"({cell // cols + 1},{cell % cols + 1})" for cell in (first, second))


@cache
def _actions(rows: int, cols: int) -> tuple[str, ...]:
    return tuple(_word(first, second, cols) for first, second in combinations(range(rows * cols), 2))


@lru_cache(maxsize=512)
def _moves(board: bytes, cols: int, bends: int) -> Mapping[str, Link]:
    """List the pairs that can be taken, by action, in reading order."""
    return {_word(link.first, link.second, cols): link for link in links(board, cols, bends)}
