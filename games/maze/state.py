"""The knobs and the state of the maze."""

from dataclasses import dataclass

from vlm_gym.game import GameKnobs, State
from vlm_gym.knobs import knob

from .plan import GOAL, KEYS, known


@dataclass(frozen=True, kw_only=True)
class MazeKnobs(GameKnobs):
    """The reasoning axis of the maze."""

    rooms: int = knob(4, "rooms in a row and in a column; with the walls, 2 * rooms + 1 cells", (2, 9))
    loops: int = knob(0, "passages opened beside those that make a tree, where there are walls left", (0, 20))
    keys: int = knob(0, "doors on the way to the goal, each with a key", (0, 3))
    window: int = knob(0, "cells shown around the player in each direction; 0: all are shown", (0, 9))
    way: int = knob(200, "steps to the goal at most, before loops are opened", (2, 200))

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = min(3, self.rooms - 2, self.way // 4)
        if self.keys > limit:
            raise ValueError(f"keys={self.keys} is not possible here; it takes 0 to {limit}")

    @property
    def size(self) -> int:
        """Rows and columns of the board."""
        return 2 * self.rooms + 1


@dataclass(frozen=True, kw_only=True)
class MazeState(State):
    """A position: the plan as it was dealt (`plan`), the walker, and what has been found and seen.

    `held` lists the colours of the keys, `seen` has a byte a cell, 1 for a cell that was ever shown. `origin`
    is the cell where the walker started or found the last key.
    """

    knobs: MazeKnobs
    plan: bytes
    walker: int
    held: tuple[int, ...] = ()
    seen: bytes
    origin: int

    @property
    def known(self) -> tuple[bytes, int, int, tuple[int, ...]]:
        """Return all that the player knows: the plan so far, its size, the walker and the keys."""
        plan = known(self.plan, self.seen) if self.knobs.window else self.plan
        return plan, self.knobs.size, self.walker, self.held

    @property
    def target(self) -> int:
        """Return the cell of the next key in the order of the doors; after the last one, of the goal."""
        for color, key in enumerate(KEYS):
            if color not in self.held and key in self.plan:
                return self.plan.index(key)
        return self.plan.index(GOAL)

    def far(self, cell: int) -> int:
        """Count the rows and columns between a cell and the target."""
        row, col = divmod(cell, self.knobs.size)
        target_row, target_col = divmod(self.target, self.knobs.size)
        return abs(row - target_row) + abs(col - target_col)
