"""Concentration, a card game of many names (Pelmanism, Memory by Ravensburger, 1959), for one player."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vlm_gym.cells import names, read_cell
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board, Game, GameKnobs, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import COLORS, SHAPES, Scene, Symbol
from vlm_gym.thought import Thought

from .thought import GRAMMAR, Known, conclude, facts, judged, think

COVER = Symbol("icon", "hidden")
MOST = 24
"""Kinds of cards at most: so many pairs of a shape and a colour differ in both from their neighbours."""
CARDS = (None, *(Symbol("shape", SHAPES[kind % 8], COLORS[kind % 6]) for kind in range(MOST)))
"""What an open card shows, by its byte; 0 for one that was taken."""


@dataclass(frozen=True, kw_only=True)
class MemoryKnobs(GameKnobs):
    """The reasoning axis of Concentration."""

    rows: int = knob(4, "rows", (2, 8))
    cols: int = knob(4, "columns; rows times columns is even", (2, 8))
    kinds: int = knob(
        8, "kinds of cards, at most one for each pair; fewer kinds make more matches", (2, MOST)
    )
    shown: int = knob(2, "cards that lie open at once; the next turn then covers them", (2, 4))

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = self.rows * self.cols
        if cells % 2:
            raise ValueError(f"{self.rows} x {self.cols} cards are not possible; make rows or cols even")
        if self.kinds > cells // 2:
            raise ValueError(f"kinds={self.kinds} is not possible here; it takes 2 to {cells // 2}")


@dataclass(frozen=True, kw_only=True)
class Table(Board[MemoryKnobs]):
    """The cards by kind, 0 for one that was taken; places that lie open; 1 for each card that was shown."""

    open: tuple[int, ...] = ()
    seen: bytes


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
        return names(knobs.rows, knobs.cols)

    def start(self, seed: int, knobs: MemoryKnobs) -> Table:
        pairs = knobs.rows * knobs.cols // 2
        dice = Dice(seed, DEAL)
        faces = [*range(1, MOST + 1)]
        dice.shuffle(faces)
        cards = [faces[pair % knobs.kinds] for pair in range(pairs)] * 2
        dice.shuffle(cards)
        return Table(knobs=knobs, seed=seed, cells=bytes(cards), seen=bytes(2 * pairs))

    def legal(self, state: Table) -> tuple[str, ...]:
        names = self.actions(state.knobs)
        return tuple(
            [names[place] for place, kind in enumerate(state.cells) if kind and place not in state.open]
        )

    def step(self, state: Table, action: str) -> Step[Table]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        place = self.actions(state.knobs).index(action)
        cells = bytearray(state.cells)
        seen = bytearray(state.seen)
        seen[place] = 1
        still = () if len(state.open) == state.knobs.shown else state.open
        mates = [other for other in still if cells[other] == cells[place]]
        if not mates:
            after = state.advance(0, False, open=(*still, place), seen=bytes(seen))
            return Step(after, self.reward(state, after), 0, f"{action} lies open")
        for taken in (place, mates[0]):
            cells[taken] = 0
        left = tuple([other for other in still if other != mates[0]])
        after = state.advance(1, not any(cells), cells=bytes(cells), open=left, seen=bytes(seen))
        event = f"{action} makes a pair" + "; all cards are taken" * after.over
        return Step(after, self.reward(state, after), 1, event)

    def scene(self, state: Table) -> Scene:
        cells = [
            CARDS[kind] if place in state.open or not kind else COVER
            for place, kind in enumerate(state.cells)
        ]
        return Scene(state.knobs.rows, state.knobs.cols, tuple(cells))

    def success(self, state: Table) -> bool:
        return not any(state.cells)

    def progress(self, state: Table) -> float:
        return state.cells.count(0) / len(state.cells)

    def read(self, words: str, state: Table) -> str:
        return read_cell(words) or super().read(words, state)

    def key(self, state: Table) -> str:
        return f"{super().key(state)}\n{state.cells.hex()}"

    def imagine(self, state: Table, dice: Dice) -> Table:
        """Shuffle the cards that were never shown, and redraw the kinds of which none was shown."""
        hidden = [place for place, seen in enumerate(state.seen) if not seen]
        kinds = [state.cells[place] for place in hidden]
        dice.shuffle(kinds)
        shown = {state.cells[place] for place, seen in enumerate(state.seen) if seen}
        faces = [face for face in range(1, MOST + 1) if face not in shown]
        dice.shuffle(faces)
        drawn = dict(zip(sorted(set(kinds) - shown), faces, strict=False))
        cells = bytearray(state.cells)
        for place, kind in zip(hidden, kinds, strict=True):
            cells[place] = drawn.get(kind, kind)
        return replace(super().imagine(state, dice), cells=bytes(cells))

    def values(self, state: Table) -> Mapping[str, float]:
        """Judge a card by what was shown: 1 for a pair that is sure, 0.5 for a new card, else 0."""
        names = self.actions(state.knobs)
        return {names[place]: value for place, value in judged(_known(state)).items()}

    def think(self, state: Table) -> Thought | None:
        return None if state.over else think(_known(state))

    def facts(self, state: Table) -> frozenset[str]:
        return frozenset() if state.over else facts(_known(state))

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)


def _known(state: Table) -> Known:
    """Collect what the player has been shown of the cards on the table."""
    words = {place: _words(kind) for place, kind in enumerate(state.cells) if kind and state.seen[place]}
    opened = {place: words[place] for place in state.open}
    covered = {place: word for place, word in words.items() if place not in state.open}
    new = tuple([place for place, seen in enumerate(state.seen) if not seen])
    full = len(state.open) == state.knobs.shown
    room = state.knobs.shown - (0 if full else len(state.open))
    return Known(state.knobs.rows, state.knobs.cols, opened, covered, new, room)


def _words(kind: int) -> str:
    """Name a card that was not taken, by its byte."""
    card = CARDS[kind]
    assert card is not None
    return card.words
