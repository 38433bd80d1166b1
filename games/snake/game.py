"""Snake for one player, after Blockade by Lane Hauck (Gremlin, 1976)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from vlm_gym.game import Game, Step
from vlm_gym.scene import Scene, Symbol
from vlm_gym.thought import Thought

from .deal import deal, feed
from .field import MOVES, OPPOSITE, distance, heading, tick
from .solver import judged
from .state import SnakeKnobs, SnakeState
from .thought import GRAMMAR, conclude, think

WALL = Symbol("icon", "wall")
HEAD = Symbol("icon", "head")
FOOD = Symbol("icon", "food")
BODY = {move: Symbol("icon", f"{move} arrow", "green") for move in MOVES}
"""What the body shows: in each cell, the direction in which the snake continues from it."""


class Snake(Game[SnakeState, SnakeKnobs]):
    """Snake. The game is over when enough is eaten, or when the snake hits a wall, the edge or itself.

    An action is a direction, kept for `ticks` cells. Food comes only where the head can get to.
    """

    name = "snake"
    title = "Snake"
    form = "up, right, down or left"
    unit = "food"
    tick: ClassVar = 0.4
    grammar = GRAMMAR
    levels = (
        SnakeKnobs(size=6, goal=1, turns=14),
        SnakeKnobs(size=6, goal=2, turns=24),
        SnakeKnobs(goal=3, walls=2, turns=50),
        SnakeKnobs(size=9, goal=4, walls=3, ticks=2, turns=60),
        SnakeKnobs(size=8, goal=12, walls=4, turns=150),
    )

    def rules(self, knobs: SnakeKnobs) -> str:
        cells = f"{knobs.ticks} cells" if knobs.ticks > 1 else "one cell"
        return (
            f"The snake goes {cells} in the given direction; it cannot turn back. The arrows of its body "
            "point towards its head. Food makes it longer by one cell, and new food comes. The snake must "
            f"not hit a wall, the edge or itself; its tail moves on in time. Goal: eat {knobs.goal} times."
        )

    def actions(self, knobs: SnakeKnobs) -> tuple[str, ...]:
        return MOVES

    def start(self, seed: int, knobs: SnakeKnobs) -> SnakeState:
        walls, snake, food = deal(seed, knobs)
        far = distance(snake[0], food, knobs.size)
        return SnakeState(knobs=knobs, seed=seed, walls=walls, snake=snake, food=food, far=far)

    def legal(self, state: SnakeState) -> tuple[str, ...]:
        back = OPPOSITE[heading(state.snake, state.knobs.size)]
        return () if state.over else tuple([move for move in MOVES if move != back])

    def step(self, state: SnakeState, action: str) -> Step[SnakeState]:
        if action not in self.legal(state):
            raise self.refuse(state, action)
        field, snake, food = state.position
        far = state.far
        ate = False
        crashed = False
        won = False
        for _ in range(state.knobs.ticks):
            moved = tick(field, snake, -1 if ate else food, action)
            snake = moved.snake
            crashed = moved.crashed
            ate = ate or moved.ate
            won = state.score + ate >= state.knobs.goal
            if crashed or won:
                break
        gain = int(ate)
        if ate:
            # New food comes at the end of a turn: where the head can get to depends on where it is then.
            food = feed(field, snake, state.dice)
            far = distance(snake[0], food, field.size)
        after = state.advance(gain, crashed or won, snake=snake, food=food, far=far, crashed=crashed)
        event = f"the snake goes {action}" + " and eats" * ate + " and crashes" * crashed
        return Step(after, self.reward(state, after), gain, event)

    def scene(self, state: SnakeState) -> Scene:
        size = state.knobs.size
        cells = [WALL if wall else None for wall in state.walls]
        cells[state.food] = FOOD
        for ahead, cell in zip(state.snake, state.snake[1:], strict=False):
            cells[cell] = BODY[heading((ahead, cell), size)]
        cells[state.snake[0]] = HEAD
        return Scene(size, size, tuple(cells))

    def success(self, state: SnakeState) -> bool:
        return state.score >= state.knobs.goal

    def progress(self, state: SnakeState) -> float:
        """Return the share of the food, the next one in part: by how much the snake has come nearer to it."""
        near = 0.0
        if not state.crashed:
            far = distance(state.snake[0], state.food, state.knobs.size)
            near = max(0.0, 1 - far / state.far)
        return min(1.0, (state.score + near) / state.knobs.goal)

    def idle(self, state: SnakeState) -> str | None:
        return None if state.over else heading(state.snake, state.knobs.size)

    def values(self, state: SnakeState) -> Mapping[str, float]:
        return {} if state.over else judged(*state.position)

    def think(self, state: SnakeState) -> Thought | None:
        return None if state.over else think(*state.position)

    def conclude(self, steps: Sequence[str]) -> str | None:
        return conclude(steps)
