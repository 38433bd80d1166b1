"""A maze to walk through, as old as Greek coins from Knossos (about 400 BC), with keys, doors and fog."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

from .deal import deal, redraw
from .plan import GOAL, KEYS, free, offsets, opened
from .solver import judged
from .state import MazeKnobs, MazeState
from .thought import GRAMMAR, conclude, facts, think
from .view import COLORS, drawn, look


class Maze(Game[MazeState, MazeKnobs]):
    """The maze. The game is over at the goal. A key opens the door of its colour and disappears with it.

    Progress: each key and the goal are equal parts, and within a part the straight distance to the next of
    them counts. Walls cross a straight line, so a player must plan farther than the next step.
    """

    name = "maze"
    title = "Maze"
    form = "up, right, down or left"
    unit = "keys and goals"
    memory = True
    grammar = GRAMMAR
    levels = (
        MazeKnobs(rooms=3, loops=1, way=6, turns=14),
        MazeKnobs(rooms=4, loops=1, way=14, turns=24),
        MazeKnobs(rooms=5, loops=2, keys=1, turns=46),
        MazeKnobs(rooms=5, loops=1, window=2, turns=54),
        MazeKnobs(rooms=6, loops=2, keys=2, window=2, turns=90),
    )

    def rules(self, knobs: MazeKnobs) -> str:
        text = "The player walks one cell up, right, down or left, and not into walls. "
        if knobs.keys:
            text += "A door is closed until the player has walked onto the key of its colour. "
        if knobs.window:
            text += (
                f"Only cells up to {knobs.window} rows and columns away are shown; the others are covered. "
                "What was shown before stays as it was, but for keys and doors. "
            )
        return text + "Goal: reach the goal."

    def actions(self, knobs: MazeKnobs) -> tuple[str, ...]:
        return tuple(offsets(knobs.size))

    def start(self, seed: int, knobs: MazeKnobs) -> MazeState:
        plan, walker = deal(knobs.size, knobs.loops, knobs.keys, knobs.way, Dice(seed, DEAL))
        seen = look(knobs.size, knobs.window, bytes(knobs.size**2), walker)
        return MazeState(knobs=knobs, seed=seed, plan=plan, walker=walker, seen=seen, origin=walker)

    def legal(self, state: MazeState) -> tuple[str, ...]:
        if state.over:
            return ()
        plan = opened(state.plan, state.held)
        moves = []
        for move, offset in offsets(state.knobs.size).items():
            if free(plan[state.walker + offset]):
                moves.append(move)
        return tuple(moves)

    def step(self, state: MazeState, action: str) -> Step[MazeState]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        walker = state.walker + offsets(state.knobs.size)[action]
        content = opened(state.plan, state.held)[walker]
        event = f"the player goes {action}"
        held = state.held
        origin = state.origin
        if content in KEYS:
            color = KEYS.index(content)
            held = tuple(sorted([*held, color]))
            origin = walker
            event += f" and finds the {COLORS[color]} key"
        elif content == GOAL:
            event += " and reaches the goal"
        gain = float(content == GOAL or content in KEYS)
        seen = look(state.knobs.size, state.knobs.window, state.seen, walker)
        after = state.advance(gain, content == GOAL, walker=walker, held=held, seen=seen, origin=origin)
        return Step(after, self.reward(state, after), gain, event)

    def scene(self, state: MazeState) -> Scene:
        size = state.knobs.size
        plan = opened(state.plan, state.held)
        return Scene(size, size, drawn(plan, size, state.knobs.window, state.walker))

    def success(self, state: MazeState) -> bool:
        return state.plan[state.walker] == GOAL

    def progress(self, state: MazeState) -> float:
        if self.success(state):
            return 1.0
        near = max(0.0, 1 - state.far(state.walker) / max(1, state.far(state.origin)))
        return (len(state.held) + near) / (state.knobs.keys + 1)

    def key(self, state: MazeState) -> str:
        return f"{super().key(state)}\n{state.plan.hex()}" if state.knobs.window else super().key(state)

    def imagine(self, state: MazeState, dice: Dice) -> MazeState:
        plan = redraw(state.plan, state.seen, state.walker, state.held, dice)
        return replace(super().imagine(state, dice), plan=plan)

    def values(self, state: MazeState) -> Mapping[str, float]:
        return {} if state.over else judged(*state.known)

    def think(self, state: MazeState) -> Thought | None:
        return None if state.over else think(*state.known)

    def facts(self, state: MazeState) -> frozenset[str]:
        return frozenset() if state.over else facts(*state.known)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
