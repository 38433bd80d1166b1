"""The order in which a cold start takes its rows."""

from collections.abc import Hashable, Iterator, Sequence

from torch.utils.data import Sampler

from vlm_gym.dice import Dice

_ORDER = 0x0BDE2
"""Salt of the seeds of orders."""


class TaskBatches(Sampler[int]):
    """Indices of rows in runs of `size`, each of one task, in random order; another order in every epoch.

    The rows of one task have pictures and replies of about one length, so a micro-batch holds little padding.
    What is left over of each task is put together into the last runs, which are mixed.

    `tasks` names the task of each row. The order depends on `seed` and on the epoch alone, so that a resumed
    run goes on with the rows that it would have taken.
    """

    def __init__(self, tasks: Sequence[Hashable], size: int, seed: int) -> None:
        self._rows: dict[Hashable, list[int]] = {}
        for row, task in enumerate(tasks):
            self._rows.setdefault(task, []).append(row)
        self._count = len(tasks)
        self._size = size
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is of; accelerate and transformers call this."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the index of every row once."""
        dice = Dice(self._seed ^ _ORDER, self._epoch)
        runs = list[list[int]]()
        rest = list[int]()
        for rows in self._rows.values():
            order = list(rows)
            dice.shuffle(order)
            whole = len(order) - len(order) % self._size
            for first in range(0, whole, self._size):
                runs.append(order[first : first + self._size])
            rest += order[whole:]
        dice.shuffle(runs)
        dice.shuffle(rest)
        for run in runs:
            yield from run
        yield from rest
