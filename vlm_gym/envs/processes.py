"""A batch whose games are played by other processes, which draw into memory that all of them share.

Processes get orders, and return rows and states: a few hundred bytes a game. From the states, a process that
was killed, or hung, is replaced without a loss.
"""

import logging
import weakref
from collections import Counter
from collections.abc import Sequence
from ctypes import c_uint8
from functools import cached_property
from itertools import pairwise
from multiprocessing.sharedctypes import RawArray
from typing import Any

import numpy as np

from vlm_gym.envs.game_batch import Batch, Frames, Order, Stepped
from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.render import Look
from vlm_gym.worker_process import TRIES, Lost, Mailbox, Worker

log = logging.getLogger(__name__)

Save = tuple[State, int]
"""What has to be saved of a run: its state and the turns used."""
_Result = tuple[list[Stepped | None], list[Save]]


class ProcessBatch:
    """A `Batch` in worker processes, each with its share of the games; `play` gives what `Batch.play` gives.

    A process that dies, or takes more than `timeout` seconds for a step, is replaced and its step done again.
    """

    def __init__(
        self, games: Sequence[tuple[Game, GameKnobs]], look: Look, workers: int, timeout: float
    ) -> None:
        if workers < 1 or timeout <= 0:
            raise ValueError(
                f"{workers=}, {timeout=} is not possible; workers are 1 or more, timeout above 0"
            )
        self.games = tuple(games)
        self._look = look
        self._timeout = timeout
        # A file that is deleted before it is used: unlike named shared memory, it cannot be left behind.
        self._memory = RawArray(c_uint8, len(games) * look.size * look.size * 3)
        self.frames = _frames(self._memory, look)
        count = min(workers, len(games))
        ends = [len(games) * number // count for number in range(count + 1)]
        self._shares = [slice(start, stop) for start, stop in pairwise(ends)]
        self._saves: list[Save | None] = [None] * len(games)
        self._mailbox = Mailbox(timeout)
        self._workers: dict[int, Worker] = {}
        weakref.finalize(self, _end, self._workers)
        for number in range(count):
            self._start_worker(number)

    @property
    def states(self) -> list[State]:
        """Return the state of every game. All have begun."""
        return [save[0] for save in self._saves if save is not None]

    def play(self, orders: Sequence[Order]) -> list[Stepped | None]:
        """Carry out one order an environment. If that fails, all are as they were before."""
        jobs = dict[int, Sequence[Order]]()
        for number, share in enumerate(self._shares):
            job = orders[share]
            if any(order is not None for order in job):
                jobs[number] = job
        rows: list[Stepped | None] = [None] * len(orders)
        saves = self._saves.copy()  # taken over only once all shares are done
        deaths = Counter[int]()
        try:
            for number, job in jobs.items():
                self._send(number, job)
            while jobs:
                working = {self._workers[number]: number for number in jobs}
                message = self._mailbox.next(working)
                assert message is not None, "it waits for one"
                number = working[message.sender]
                if message.kind == "failed":
                    raise message.value
                if message.kind == "done":
                    share = self._shares[number]
                    rows[share], saves[share] = message.value
                    del jobs[number]
                    continue
                deaths[number] += 1
                self._drop(number, message.value, last=deaths[number] == TRIES)
                self._send(number, jobs[number])  # a new process starts from the states before this step
        except BaseException:
            self.close()  # the next call starts new processes from the states before this call
            raise
        self._saves = saves
        return rows

    def close(self) -> None:
        """End all processes at once."""
        _end(self._workers)

    def _start_worker(self, number: int) -> Worker:
        share = self._shares[number]
        part = _Share(self.games[share], self._look, self._memory, share, self._saves[share])
        self._workers[number] = Worker(part, self._mailbox)
        return self._workers[number]

    def _send(self, number: int, job: Sequence[Order]) -> None:
        (self._workers.get(number) or self._start_worker(number)).tell(job, self._timeout)

    def _drop(self, number: int, cause: str, last: bool) -> None:
        """Drop a process that died. Raises `Lost` if no further one may try the step."""
        worker = self._workers.pop(number)
        share = self._shares[number]
        environments = f"environments {share.start} to {share.stop - 1}"
        if last:
            error = Lost(f"{TRIES} processes ended over the same step of {environments}; the last: {cause}")
            if not worker.ready:
                error.add_note(
                    "It never began. A script that uses processes needs `if __name__ == '__main__':`, and a "
                    "game of its own must be in a module that can be imported."
                )
            raise error
        log.warning("%s over %s; doing their step again in a new process", cause, environments)


class _Share:
    """A worker's share of a batch: executes orders, and returns rows and states."""

    def __init__(
        self,
        games: Sequence[tuple[Game, GameKnobs]],
        look: Look,
        memory: Any,
        share: slice,
        saves: Sequence[Save | None],
    ) -> None:
        self._games = games
        self._look = look
        self._memory = memory
        self._share = share
        self._saves = saves

    # Made in the worker, at its first job: a batch has views into the shared memory, which no pickle keeps.
    @cached_property
    def _batch(self) -> Batch:
        batch = Batch(self._games, self._look, _frames(self._memory, self._look)[self._share])
        for run, save in zip(batch.runs, self._saves, strict=True):
            if save is not None:
                run.state, run.turns = save
        return batch

    def __call__(self, orders: Sequence[Order]) -> _Result:
        rows = self._batch.play(orders)
        return rows, [(run.state, run.turns) for run in self._batch.runs]


def _frames(memory: Any, look: Look) -> Frames:
    return np.frombuffer(memory, np.uint8).reshape(-1, look.size, look.size, 3)


def _end(workers: dict[int, Worker]) -> None:
    while workers:
        workers.popitem()[1].kill()
