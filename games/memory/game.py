"""Concentration, a card game of many names (Pelmanism, Memory by Ravensburger, 1959), for one player."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vlm_gym.cells import cell_names, read_cell
from vlm_gym.dice import Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from .cards import CARDS, COVER
from .deal import deal, redrawn
from .state import MemoryKnobs, Table
from .thought import GRAMMAR, conclude, facts, judged, think


class Memory(Game[Table, MemoryKnobs]):
    """Concentration. The game is over when all pairs are taken. Progress is the share of the cards taken."""

    name = "memory"
    title = "Memory"
    form = "a covered card as (row,column), such as (1,2)"
    unit = "pairs"
    memory = True
    grammar = GRAMMAR
    levels = (
        MemoryKnobs(rows=2, cols=3, kinds=3, turns=12),
        MemoryKnobs(rows=2, cols=4, kinds=4, turns=16),
        MemoryKnobs(rows=3, cols=4, kinds=6, turns=24),
        MemoryKnobs(turns=33),
        MemoryKnobs(rows=4, cols=6, kinds=12, turns=50),
    )

    def rules(self, knobs: MemoryKnobs) -> str:
        return (
            "Every turn uncovers one card. As soon as two equal cards lie open, they are taken away; equal "
            f"cards share colour and shape. When {knobs.shown} cards lie open and none is equal to another, "
            "the next turn first covers them again. Goal: take all cards."
        )

    def actions(self, knobs: MemoryKnobs) -> tuple[str, ...]:
        return cell_names(knobs.rows, knobs.cols)

    def start(self, seed: int, knobs: MemoryKnobs) -> Table:
        cells = deal(seed, knobs)
        return Table(knobs=knobs, seed=seed, cells=cells, seen=bytes(len(cells)))

    def legal(self, state: Table) -> tuple[str, ...]:
        names = self.actions(state.knobs)
        legal = []
        for cell, kind in enumerate(state.cells):
            if kind and cell not in state.open:
                legal.append(names[cell])
        return tuple(legal)

    def step(self, state: Table, action: str) -> Step[Table]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        cell = self.actions(state.knobs).index(action)
        cells = bytearray(state.cells)
        seen = bytearray(state.seen)
        seen[cell] = 1
        # If as many cards lie open as may, this turn covers them first.
        opened = [] if len(state.open) == state.knobs.shown else [*state.open]
        mates = [other for other in opened if cells[other] == cells[cell]]
        if not mates:
            after = state.advance(0, False, open=(*opened, cell), seen=bytes(seen))
            return Step(after, self.reward(state, after), 0, f"{action} lies open")
        opened.remove(mates[0])
        for taken in (cell, mates[0]):
            cells[taken] = 0
        after = state.advance(1, not any(cells), cells=bytes(cells), open=tuple(opened), seen=bytes(seen))
        event = f"{action} makes a pair"
        if after.over:
            event += "; all cards are taken"
        return Step(after, self.reward(state, after), 1, event)

    def scene(self, state: Table) -> Scene:
        shown = [COVER if kind else None for kind in state.cells]
        for cell in state.open:
            shown[cell] = CARDS[state.cells[cell]]
        return Scene(state.knobs.rows, state.knobs.cols, tuple(shown))

    def success(self, state: Table) -> bool:
        return not any(state.cells)

    def progress(self, state: Table) -> float:
        return state.cells.count(0) / len(state.cells)

    def read(self, words: str, state: Table) -> str:
        return read_cell(words) or super().read(words, state)

    def key(self, state: Table) -> str:
        return f"{super().key(state)}\n{state.cells.hex()}"

    def imagine(self, state: Table, dice: Dice) -> Table:
        return replace(super().imagine(state, dice), cells=redrawn(state.cells, state.seen, dice))

    def values(self, state: Table) -> Mapping[str, float]:
        """Judge a card by what was shown: 1 for a pair that is sure, 0.5 for a new card, else 0."""
        names = self.actions(state.knobs)
        return {names[cell]: value for cell, value in judged(state.known).items()}

    def think(self, state: Table) -> Thought | None:
        return None if state.over else think(state.known)

    def facts(self, state: Table) -> frozenset[str]:
        return frozenset() if state.over else facts(state.known)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
