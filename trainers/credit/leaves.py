"""Values of the states in which plays are truncated: at a step's end, at a turn limit, or n turns ahead.

A state that the step visits elsewhere has the value of its other visits, backed up as in `graph`; any other
has the mean value of the states of its task. Over the games of `leaf_table`, this was nearer to the truth in
the mean than 0, and than a critic on the board that is fitted to the step.
"""

from collections.abc import Sequence

from .graph import values
from .turns import CreditTurn


def leaves(turns: Sequence[CreditTurn], tasks: Sequence[int], gamma: float) -> list[float]:
    """Return the value of ``turns[i].after`` for every turn, 0 where the game is over.

    ``tasks[i]`` is the task of ``turns[i]``.
    """
    value_of = values(turns, tasks, gamma)
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for (task, _), value in value_of.items():
        sums[task] = sums.get(task, 0.0) + value
        counts[task] = counts.get(task, 0) + 1
    last = []
    for turn, task in zip(turns, tasks, strict=True):
        if turn.over:
            last.append(0.0)
        else:
            last.append(value_of.get((task, turn.after), sums[task] / counts[task]))
    return last
