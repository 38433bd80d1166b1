"""Shisen-Sho, as in the arcade game by Tamtex (1989), on rectangles and with any number of kinds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import ClassVar

from vlm_gym.cells import pairs, read_pair
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, GameKnobs, Plan, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import COLORS, SHAPES, Scene, Symbol

from .paths import Link, corners, take
from .solver import HAIR, can_clear, careless, deal, judge, nearest

TILES = (None, *(Symbol("shape", shape, color) for shape in SHAPES[:6] for color in COLORS))
"""What a cell shows, by its byte."""
WHOLE = len(TILES) - 1
"""Kinds of the whole deck."""


@dataclass(frozen=True, kw_only=True)
class ShisenShoKnobs(GameKnobs):
    """The reasoning axis of Shisen-Sho."""

    rows: int = knob(6, "rows of tiles", (2, 12))
    cols: int = knob(6, "columns of tiles", (2, 12))
    kinds: int = knob(9, "kinds of tiles, as equally frequent as pairs allow", (1, 36))
    deck: int = knob(WHOLE, "kinds that deals draw theirs from; few are soon known", (1, WHOLE))
    holes: int = knob(0, "cells without a tile when the game begins", (0, 142))
    bends: int = knob(2, "turns that a path may make; with one, fewer pairs can be taken", (1, 2))
    draws: int = knob(
        1, "deals drawn, at most, to find one on which taking the first pair each time gets stuck", (1, 64)
    )

    reward: str = knob(
        "goal",
        "as in every game; 'progress', of earlier versions: 1 a pair, but 0 if no pair can be taken then",
        ("goal", "progress", "paper"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tiles % 2 or self.kinds > self.tiles // 2:
            at = f"kinds={self.kinds} on rows={self.rows}, cols={self.cols} with holes={self.holes}"
            raise ValueError(f"{at} is not possible; tiles are even in number, and two or more for each kind")
        if self.deck < self.kinds:
            raise ValueError(f"deck={self.deck} is not possible; a deal takes kinds={self.kinds} from it")

    @property
    def tiles(self) -> int:
        """How many tiles a deal lays out."""
        return self.rows * self.cols - self.holes


class ShisenSho(Game[Board[ShisenShoKnobs], ShisenShoKnobs]):
    """Shisen-Sho. The game is over when the board is cleared, or when no pair can be taken.

    Every deal can be cleared. Progress is the share of the pairs that are taken.
    """

    name = "shisen_sho"
    title = "Shisen-Sho"
    form = "two cells as (row,column) (row,column), such as (1,2) (3,4)"
    unit = "pairs"
    levels: ClassVar[tuple[ShisenShoKnobs, ...]] = (
        ShisenShoKnobs(rows=4, cols=4, kinds=3, turns=16),
        ShisenShoKnobs(rows=4, cols=6, kinds=4, turns=24),
        ShisenShoKnobs(turns=36),
        ShisenShoKnobs(rows=8, cols=8, kinds=16, bends=1, turns=64),
        ShisenShoKnobs(rows=12, cols=12, kinds=36, bends=1, draws=6, turns=144),
    )
    presets: ClassVar[Mapping[str, ShisenShoKnobs]] = {"paper": ShisenShoKnobs(reward="paper", turns=30)}
    equal = "of one shape and colour"

    def rules(self, knobs: ShisenShoKnobs) -> str:
        turns = "once" if knobs.bends == 1 else "twice"
        return (
            f"Take away two tiles {self.equal} that a path joins. A path runs across and down, turns {turns} "
            "at most, and crosses no tile; it may run around the board, one cell outside. "
            "Goal: take away all tiles."
        )

    def actions(self, knobs: ShisenShoKnobs) -> tuple[str, ...]:
        return pairs(knobs.rows, knobs.cols)

    def start(self, seed: int, knobs: ShisenShoKnobs) -> Board[ShisenShoKnobs]:
        dice, rule = Dice(seed, DEAL), (knobs.cols, knobs.bends)
        kinds = self.kinds(knobs, dice)
        tiles = bytearray([kinds[tile // 2 % knobs.kinds] for tile in range(knobs.tiles)])
        tiles += bytes(knobs.holes)
        if knobs.holes:  # without any, `deal` alone shuffles
            dice.shuffle(tiles)
        cells = deal(tiles, *rule, dice)
        for _ in range(knobs.draws - 1):
            if any(careless(cells, *rule)):
                break
            cells = deal(tiles, *rule, dice)
        return Board(knobs=knobs, seed=seed, cells=cells)

    def kinds(self, knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
        """Choose the kinds of a deal. The first six of the whole deck differ in both shape and colour."""
        shapes, colors, whole = list(range(6)), list(range(6)), knobs.deck == WHOLE
        if whole:
            dice.shuffle(shapes)
            dice.shuffle(colors)
        deck = [1 + 6 * shapes[n % 6] + colors[(n + n // 6) % 6] for n in range(knobs.deck)]
        if not whole:
            dice.shuffle(deck)
        return deck[: knobs.kinds]

    def legal(self, state: Board[ShisenShoKnobs]) -> tuple[str, ...]:
        return tuple(_moves(*_layout(state)))

    def step(self, state: Board[ShisenShoKnobs], action: str) -> Step[Board[ShisenShoKnobs]]:
        cells, cols, bends = _layout(state)
        link = _moves(cells, cols, bends).get(action)
        if link is None:
            raise self.refuse(state, action)
        cells = take(cells, [link])
        over = not _moves(cells, cols, bends)
        stuck = over and any(cells)
        event = f"{action} are taken; {len(cells) - cells.count(0)} tiles left" + ", none can go" * stuck
        after = state.advance(1, over, cells=cells)
        reward = self.reward(state, after)
        if state.knobs.reward == "progress":
            reward = 0.0 if stuck else 1.0
        return Step(after, reward, 1, event)

    def scene(self, state: Board[ShisenShoKnobs]) -> Scene:
        return Scene(state.knobs.rows, state.knobs.cols, tuple([TILES[kind] for kind in state.cells]))

    def success(self, state: Board[ShisenShoKnobs]) -> bool:
        return not any(state.cells)

    def progress(self, state: Board[ShisenShoKnobs]) -> float:
        return 2 * state.score / state.knobs.tiles

    def values(self, state: Board[ShisenShoKnobs]) -> Mapping[str, float]:
        layout = _layout(state)
        return {link.action: judge(link, rank, *layout) for rank, link in enumerate(nearest(*layout))}

    def value(self, state: Board[ShisenShoKnobs], action: str) -> float:
        near = nearest(*_layout(state))
        rank = [link.action for link in near].index(action)
        return judge(near[rank], rank, *_layout(state))

    def solve(self, state: Board[ShisenShoKnobs]) -> Plan | None:
        best, layout = ("", -1.0), _layout(state)
        for rank, link in enumerate(nearest(*layout)):
            best = max(best, (link.action, judge(link, rank, *layout)), key=itemgetter(1))
            # A value is at most 1, less a hair for each link that is nearer: what follows is no better.
            if best[1] >= 1 - HAIR * (rank + 1):
                break
        return Plan(*best) if best[0] else None

    def reasons(self, state: Board[ShisenShoKnobs], action: str) -> str:
        """Say how the pair is joined and where the path turns.

        `two red circle at (1,2) and (1,5), joined by 2 turns. the path turns at (0,2) and (0,5). all other
        tiles can be cleared then.` Without turns: `side by side` or `in line`.
        """
        cells, cols, bends = _layout(state)
        link = _moves(cells, cols, bends)[action]
        tile = self.scene(state).grid()[link.first // cols][link.first % cols]
        joined = ("in line", "joined by 1 turn", "joined by 2 turns")[link.turns]
        joined = "side by side" if link.distance == 1 else joined
        says = f"two {tile} at {action.replace(' ', ' and ')}, {joined}."
        if link.turns:
            turns = " and ".join(f"({row},{col})" for row, col in corners(link, cols))
            says += f" the path turns at {turns}."
        left = take(cells, [link])
        return says + " all other tiles can be cleared then." * (any(left) and can_clear(left, cols, bends))

    def read(self, words: str, state: Board[ShisenShoKnobs]) -> str:
        return read_pair(words) or super().read(words, state)


def _layout(state: Board[ShisenShoKnobs]) -> tuple[bytes, int, int]:
    return state.cells, state.knobs.cols, state.knobs.bends


@lru_cache(maxsize=512)
def _moves(cells: bytes, cols: int, bends: int) -> dict[str, Link]:
    return {link.action: link for link in sorted(nearest(cells, cols, bends))}
