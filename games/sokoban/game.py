"""Sokoban by Hiroyuki Imabayashi (Thinking Rabbit, 1982), with levels dealt by reverse play."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vlm_gym.cells import names
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, GameKnobs, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from .deal import deal
from .room import Push, Room, far, pushed, pushes
from .solver import solution
from .thought import GRAMMAR, conclude, facts, think

WALL, GOAL, BOX, BOX_ON_GOAL, PLAYER, PLAYER_ON_GOAL = (
    Symbol("icon", name) for name in ("wall", "goal", "box", "box on goal", "player", "player on goal")
)
_ACTION = re.compile(r"\s*\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)" * 2 + r"\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SokobanKnobs(GameKnobs):
    """The reasoning axis of Sokoban."""

    size: int = knob(7, "rows and columns, with the walls around", (5, 10))
    boxes: int = knob(2, "boxes, as many as goals", (1, 4))
    pushes: int = knob(6, "pushes that a level takes at least, where rooms allow", (1, 30))

    def __post_init__(self) -> None:
        super().__post_init__()
        most = max(1, (self.size - 2) ** 2 // 8)
        if self.boxes > most:
            raise ValueError(f"boxes={self.boxes} is not possible here; size={self.size} takes 1 to {most}")
        longest = self.boxes * (self.size - 3)
        if self.pushes > longest:
            raise ValueError(f"pushes={self.pushes} is not possible here; it takes 1 to {longest}")


@dataclass(frozen=True, kw_only=True)
class SokobanState(State):
    """A position: what stays, the boxes in reading order, the walker, and `far` of the boxes at the start."""

    knobs: SokobanKnobs
    walls: bytes
    goals: tuple[int, ...]
    boxes: tuple[int, ...]
    walker: int
    first: int

    @property
    def room(self) -> Room:
        return Room(self.knobs.size, self.walls, self.goals)

    @property
    def position(self) -> tuple[Room, tuple[int, ...], int]:
        return self.room, self.boxes, self.walker


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
        SokobanKnobs(size=6, boxes=1, pushes=3, turns=12),
        SokobanKnobs(size=6, boxes=2, pushes=4, turns=16),
        SokobanKnobs(size=7, boxes=3, pushes=6, turns=24),
        SokobanKnobs(size=8, boxes=4, pushes=11, turns=36),
    )

    def rules(self, knobs: SokobanKnobs) -> str:
        return (
            "A player pushes boxes, one at a time and by one cell: the player stands behind the box, and the "
            "cell before it is free. Boxes cannot be pulled. The player gets to wherever no wall or box is in "
            "the way. A box that has no way left to a goal of its own ends the game. Goal: a box on each goal."
        )

    def actions(self, knobs: SokobanKnobs) -> tuple[str, ...]:
        name = names(knobs.size, knobs.size)
        inner = [
            row * knobs.size + col for row in range(1, knobs.size - 1) for col in range(1, knobs.size - 1)
        ]
        steps = (-knobs.size, -1, 1, knobs.size)
        return tuple(
            f"{name[box]} {name[box + step]}" for box in inner for step in steps if box + step in inner
        )

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
        return () if state.over else tuple(self._pushes(state))

    def _pushes(self, state: SokobanState) -> dict[str, Push]:
        name = names(state.knobs.size, state.knobs.size)
        return {f"{name[push.box]} {name[push.to]}": push for push in pushes(*state.position)}

    def read(self, words: str, state: SokobanState) -> str:
        match = _ACTION.fullmatch(words)
        return "({},{}) ({},{})".format(*map(int, match.groups())) if match else super().read(words, state)

    def step(self, state: SokobanState, action: str) -> Step[SokobanState]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        push = self._pushes(state)[action]
        boxes = pushed(state.boxes, push)
        gain = (push.to in state.goals) - (push.box in state.goals)
        won = boxes == state.goals
        stuck = far(state.room, boxes) is None or not pushes(state.room, boxes, push.box)
        after = state.advance(gain, won or stuck, boxes=boxes, walker=push.box)
        event = f"the box is pushed to {action.split()[1]}"
        event += "; all boxes are home" if won else "; a box is stuck for good" if stuck else ""
        return Step(after, self.reward(state, after), gain, event)

    def scene(self, state: SokobanState) -> Scene:
        cells = [WALL if wall else None for wall in state.walls]
        for goal in state.goals:
            cells[goal] = GOAL
        for box in state.boxes:
            cells[box] = BOX_ON_GOAL if box in state.goals else BOX
        cells[state.walker] = PLAYER_ON_GOAL if state.walker in state.goals else PLAYER
        return Scene(state.knobs.size, state.knobs.size, tuple(cells))

    def success(self, state: SokobanState) -> bool:
        return state.boxes == state.goals

    def progress(self, state: SokobanState) -> float:
        """Return the share of the pushes done, of those needed if boxes were not in each other's way."""
        left = far(state.room, state.boxes)
        return 0.0 if left is None else max(0.0, 1 - left / state.first)

    def value(self, state: SokobanState, action: str) -> float:
        """Judge a push: the pushes of a shortest solution over those of one that begins with it; 0 for none."""
        best = solution(*state.position)
        push = self._pushes(state)[action]
        then = solution(state.room, pushed(state.boxes, push), push.box)
        return 0.0 if best is None or then is None else len(best) / (1 + len(then))

    def think(self, state: SokobanState) -> Thought | None:
        return None if state.over else think(*state.position)

    def facts(self, state: SokobanState) -> frozenset[str]:
        return frozenset() if state.over else facts(*state.position)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
