"""Shisen-Sho, as in the arcade game by Tamtex (1989), on rectangles and with any number of kinds."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from vlm_gym.cells import pairs, read_pair
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from .deal import draw_kinds, lay_out
from .knobs import TILES, ShisenShoKnobs
from .paths import take
from .solver import Layout, moves, takeable, value
from .thought import GRAMMAR, conclude, facts, think, tile_words


class ShisenSho(Game[Board[ShisenShoKnobs], ShisenShoKnobs]):
    """Shisen-Sho. The game is over when the board is cleared, or when no pair can be taken.

    Every deal can be cleared. Progress is the share of the pairs that are taken.
    """

    name = "shisen_sho"
    title = "Shisen-Sho"
    form = "two cells as (row,column) (row,column), such as (1,2) (3,4)"
    unit = "pairs"
    grammar = GRAMMAR
    levels: ClassVar[tuple[ShisenShoKnobs, ...]] = (
        ShisenShoKnobs(rows=4, cols=4, kinds=3, turns=16),
        ShisenShoKnobs(rows=4, cols=6, kinds=6, draws=8, turns=24),
        ShisenShoKnobs(draws=8, turns=36),
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
        dice = Dice(seed, DEAL)
        cells = lay_out(self.kinds(knobs, dice), knobs, dice)
        return Board(knobs=knobs, seed=seed, cells=cells)

    def kinds(self, knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
        """Choose the kinds of a deal, as cells name them."""
        return draw_kinds(knobs, dice)

    def legal(self, state: Board[ShisenShoKnobs]) -> tuple[str, ...]:
        return tuple(moves(_layout(state)))

    def step(self, state: Board[ShisenShoKnobs], action: str) -> Step[Board[ShisenShoKnobs]]:
        layout = _layout(state)
        link = moves(layout).get(action)
        if link is None:
            raise self.refuse(state, action)
        cells = take(layout.cells, [link])
        over = not moves(layout._replace(cells=cells))
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
        """Judge a pair by the share of tiles that can go with it (`solver`)."""
        layout = _layout(state)
        return {link.action: value(layout, link) for link in takeable(layout)}

    def value(self, state: Board[ShisenShoKnobs], action: str) -> float:
        return value(_layout(state), moves(_layout(state))[action])

    def think(self, state: Board[ShisenShoKnobs]) -> Thought | None:
        return None if state.over else think(_layout(state), tile_words(self.scene(state)))

    def facts(self, state: Board[ShisenShoKnobs]) -> frozenset[str]:
        return frozenset() if state.over else facts(_layout(state), tile_words(self.scene(state)))

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)

    def read(self, words: str, state: Board[ShisenShoKnobs]) -> str:
        return read_pair(words) or super().read(words, state)


def _layout(state: Board[ShisenShoKnobs]) -> Layout:
    return Layout(state.cells, state.knobs.cols, state.knobs.bends)
