"""Tetris by Alexey Pajitnov (1985), one placement a turn."""

import re
from collections.abc import Mapping, Sequence

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from . import thought
from .board import KINDS, actions, placements, put
from .drawing import ENTRY, drawn
from .solver import judged
from .state import Fall, Knobs

_PLACEMENT = re.compile(r"column ([1-9]\d?)(?: turned ([0-3]))?", re.ASCII)


class Tetris(Game[Fall, Knobs]):
    """Tetris. A piece is turned, then falls straight down. The game is over when it fits nowhere.

    The score counts rows. Progress is the share of the rows to clear.
    """

    name = "tetris"
    title = "Tetris"
    form = "the leftmost column of the piece and its quarter turns to the right, such as column 3 turned 1"
    unit = "rows"
    grammar = thought.GRAMMAR
    levels = (
        Knobs(width=4, height=8, kinds=4, garbage=3, lines=2, turns=12),
        Knobs(width=5, kinds=5, lines=3, turns=20),
        Knobs(width=6, kinds=5, lines=4, turns=24),
        Knobs(width=6, lines=6, turns=30),
        Knobs(garbage=4, lines=8, turns=40),
    )

    def rules(self, knobs: Knobs) -> str:
        return (
            f"The piece in the top {ENTRY} rows is turned, then falls straight down in the columns that you "
            "choose, onto the blocks below. Full rows are cleared and all above them sinks. No block may "
            f"stay in the top {ENTRY} rows: where the piece fits nowhere, the game is lost. "
            f"Goal: clear rows, {knobs.lines} in all."
        )

    def actions(self, knobs: Knobs) -> tuple[str, ...]:
        return actions(knobs.width)

    def read(self, words: str, state: Fall) -> str:
        folded = super().read(words, state)
        match = _PLACEMENT.fullmatch(folded)
        return f"column {match[1]} turned {match[2] or 0}" if match else folded

    def start(self, seed: int, knobs: Knobs) -> Fall:
        dice = Dice(seed, DEAL)
        kinds = KINDS[: knobs.kinds]
        piece, *ahead = [dice.choice(kinds) for _ in range(1 + knobs.ahead)]
        cells = bytes(knobs.width * (knobs.height - knobs.garbage))
        for _ in range(knobs.garbage):
            gap = dice.below(knobs.width)
            cells += b"\1" * gap + b"\0" + b"\1" * (knobs.width - 1 - gap)
        return Fall(knobs=knobs, seed=seed, cells=cells, piece=piece, ahead=tuple(ahead))

    def legal(self, state: Fall) -> tuple[str, ...]:
        return () if state.over else tuple(placements(state.field, state.piece))

    def step(self, state: Fall, action: str) -> Step[Fall]:
        possible = {} if state.over else placements(state.field, state.piece)
        if action not in possible:
            raise self.refuse(state, action)
        field, cleared = put(state.field, state.piece, possible[action])
        drawn = state.dice.choice(KINDS[: state.knobs.kinds])
        piece, *ahead = (*state.ahead, drawn)
        won = state.score + cleared >= state.knobs.lines
        lost = not won and not placements(field, piece)
        event = f"{state.piece} in {action} cleared {cleared} rows"
        if won:
            event += "; all rows are cleared"
        elif lost:
            event += "; the next piece fits nowhere"
        after = state.advance(cleared, won or lost, cells=field.cells, piece=piece, ahead=tuple(ahead))
        return Step(after, self.reward(state, after), cleared, event)

    def scene(self, state: Fall) -> Scene:
        return drawn(state)

    def success(self, state: Fall) -> bool:
        return state.score >= state.knobs.lines

    def progress(self, state: Fall) -> float:
        return min(1.0, state.score / state.knobs.lines)

    def values(self, state: Fall) -> Mapping[str, float]:
        return {} if state.over else judged(state.field, state.piece, state.remaining)

    def think(self, state: Fall) -> Thought | None:
        return None if state.over else thought.think(state.field, state.piece, state.remaining)

    def facts(self, state: Fall) -> frozenset[str]:
        return frozenset() if state.over else thought.facts(state.field, state.piece, state.remaining)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return thought.conclude(steps)
