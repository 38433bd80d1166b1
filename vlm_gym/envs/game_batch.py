"""Games in play side by side, each drawing into its place of one buffer: what vector environments drive."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlm_gym.envs.run import Outcome, Run
from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.render import Look

Frames = NDArray[np.uint8]
"""Pictures side by side: RGB, (environments, size, size, 3)."""


class Move(NamedTuple):
    """A turn to take: an action in words, or None and the error of a reply that names none."""

    action: str | None
    error: str = "no action"


Order = Move | State | int | None
"""An order to one environment: take a turn, continue from a state, deal the episode of a seed, or none."""


class Stepped(NamedTuple):
    """The result of one order in one environment, with its info (see `GameEnv`)."""

    outcome: Outcome
    info: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the episode is over or out of turns."""
        return self.outcome.terminated or self.outcome.truncated


class Batch:
    """A list of runs in this process. `ProcessBatch` offers the same from other processes."""

    def __init__(self, games: Sequence[tuple[Game, GameKnobs]], look: Look, frames: Frames) -> None:
        """Play these games, drawing the i-th into ``frames[i]``."""
        self.games = tuple(games)
        self.frames = frames
        self.runs = [Run(*game, look, frame) for game, frame in zip(games, frames, strict=True)]

    @property
    def states(self) -> list[State]:
        """Return the state of every run."""
        return [run.state for run in self.runs]

    def play(self, orders: Sequence[Order]) -> list[Stepped | None]:
        """Carry out one order an environment and draw what has changed; None where there was no order."""
        rows = [
            None if order is None else _play(run, order) for run, order in zip(self.runs, orders, strict=True)
        ]
        # In a separate loop, since drawing evicts the games' data from the processor's caches.
        for run, row in zip(self.runs, rows, strict=True):
            if row is not None:
                run.picture()
        return rows

    def close(self) -> None:
        """Release nothing: all goes with the object."""


def _play(run: Run, order: Move | State | int) -> Stepped:
    if isinstance(order, Move):
        outcome = run.step(*order)
    else:
        if isinstance(order, State):
            run.state = order
        else:
            run.start(order)
        over = run.state.over
        outcome = Outcome(0.0, over, run.ended and not over)
    return Stepped(outcome, run.info())
