"""Sokoban by Hiroyuki Imabayashi (Thinking Rabbit, 1982), with levels dealt by reverse play."""

from collections.abc import Sequence

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from .deal import deal
from .drawing import drawn
from .pushes import actions, named, read_push
from .room import far, pushed, pushes
from .solver import solution
from .state import SokobanKnobs, SokobanState
from .thought import GRAMMAR, conclude, facts, think


class Sokoban(Game[SokobanState, SokobanKnobs]):
    """Sokoban. The game is over when all boxes are home, or when a box has no way to a goal of its own.

    An action is a push of one cell and names the box. The walker goes to it by itself: all turns are then
    decisions, and episodes are a third as long as with steps of the walker. The score counts boxes on goals.
    """

    name = "sokoban"
    title = "Sokoban"
    form = "a box and the cell next to it to push it to, as (row,column) (row,column), such as (3,2) (3,3)"
    unit = "boxes home"
    grammar = GRAMMAR
    levels = (
        SokobanKnobs(size=6, boxes=1, pushes=2, turns=8),
        SokobanKnobs(size=7, boxes=1, pushes=4, turns=14),
        SokobanKnobs(size=6, boxes=2, pushes=4, turns=16),
        SokobanKnobs(size=7, boxes=3, pushes=6, turns=24),
        SokobanKnobs(size=8, boxes=4, pushes=11, turns=36),
    )

    def rules(self, knobs: SokobanKnobs) -> str:
        return (
            "The player pushes a box by one cell: from the cell behind it, to a free cell before it. Nothing "
            "can be pulled. The player walks behind the box by itself, if nothing is in the way. A box "
            "that has no way left to a goal of its own ends the game. Goal: a box on each goal."
        )

    def actions(self, knobs: SokobanKnobs) -> tuple[str, ...]:
        return actions(knobs.size)

    def start(self, seed: int, knobs: SokobanKnobs) -> SokobanState:
        room, boxes, walker = deal(knobs.size, knobs.boxes, knobs.pushes, Dice(seed, DEAL))
        first = far(room, boxes)
        assert first is not None
        return SokobanState(
            knobs=knobs,
            seed=seed,
            walls=room.walls,
            goals=room.goals,
            boxes=boxes,
            walker=walker,
            first=first,
        )

    def legal(self, state: SokobanState) -> tuple[str, ...]:
        return () if state.over else tuple(named(*state.position))

    def read(self, words: str, state: SokobanState) -> str:
        return read_push(words) or super().read(words, state)

    def step(self, state: SokobanState, action: str) -> Step[SokobanState]:
        possible = named(*state.position)
        if state.over or action not in possible:
            raise self.refuse(state, action)
        push = possible[action]
        boxes = pushed(state.boxes, push)
        gain = (push.to in state.goals) - (push.box in state.goals)
        won = boxes == state.goals
        stuck = far(state.room, boxes) is None or not pushes(state.room, boxes, push.box)
        after = state.advance(gain, won or stuck, boxes=boxes, walker=push.box)
        event = f"the box is pushed to {action.split()[1]}"
        if won:
            event += "; all boxes are home"
        elif stuck:
            event += "; a box is stuck for good"
        return Step(after, self.reward(state, after), gain, event)

    def scene(self, state: SokobanState) -> Scene:
        size = state.knobs.size
        return Scene(size, size, drawn(state.room, state.boxes, state.walker))

    def success(self, state: SokobanState) -> bool:
        return state.boxes == state.goals

    def progress(self, state: SokobanState) -> float:
        """Return the share of the pushes done, of those needed if boxes were no obstacles to each other."""
        remaining = far(state.room, state.boxes)
        return 0.0 if remaining is None else max(0.0, 1 - remaining / state.first)

    def value(self, state: SokobanState, action: str) -> float:
        """Judge a push: the pushes of a shortest solution over those of one that begins so; 0 for none."""
        best = solution(*state.position)
        push = named(*state.position)[action]
        after = solution(state.room, pushed(state.boxes, push), push.box)
        return 0.0 if best is None or after is None else len(best) / (1 + len(after))

    def think(self, state: SokobanState) -> Thought | None:
        return None if state.over else think(*state.position)

    def facts(self, state: SokobanState) -> frozenset[str]:
        return frozenset() if state.over else facts(*state.position)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
