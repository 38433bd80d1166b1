"""A pool of processes that maps a function over tasks, in order, and survives the death of processes."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

from vlm_gym.worker_process import TRIES, Lost, Mailbox, Work, Worker, WorkerMessage

T = TypeVar("T")
R = TypeVar("R")

AnswerAll = Callable[[list[Any]], list[Any]]
"""Answers the questions of all processes that wait for one, in one call."""

AHEAD = 4
"""Tasks, in units of processes, whose results may wait to be read: a slow reader stops the work."""

log = logging.getLogger(__name__)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(Protocol):
    """Processes that functions can be mapped on: those of this machine, or of a cluster."""

    @property
    def size(self) -> int:
        """Tasks that are worked on at the same time."""
        ...

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], answer: AnswerAll | None = None
    ) -> Iterator[R]:
        """Yield the results of all tasks, in order.

        Function, tasks and results are pickled; an exception comes back as it is, with its traceback. A task
        is done again if its process dies, so it must be a pure function. `Lost` names a task that cannot be
        done. `answer` replies to what tasks `ask`.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, started when a map begins and killed when it ends.

    They are spawned: a script that uses them needs ``if __name__ == "__main__":``. A process that is silent
    over one task for `limit` seconds, questions apart, counts as hung.
    """

    size: int
    limit: float = 600.0

    def __post_init__(self) -> None:
        if self.size < 1 or self.limit <= 0:
            raise ValueError(f"{self} is not possible; it takes one process or more, and a limit above 0")

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], answer: AnswerAll | None = None
    ) -> Iterator[R]:
        """As `Pool.map`."""
        crew = _Crew(self, function, answer)
        waiting = iter(tasks)
        try:
            while True:
                crew.begin(islice(waiting, AHEAD * self.size - len(crew.begun)))
                if not crew.begun:
                    return
                first = crew.begun[0]
                crew.receive(wait=first.outcome is None)
                if first.outcome is not None:
                    yield crew.begun.popleft().result()
        finally:
            crew.end()


def pool(workers: int | Pool) -> Pool | None:
    """Turn a number of processes into a pool; None for 0, which is this process."""
    if not isinstance(workers, int):
        return workers
    return Processes(workers) if workers else None


class Chunk(tuple[T, ...]):
    """Items that are one task, with a name that messages show."""

    name = ""

    def __str__(self) -> str:
        return self.name


def chunks(items: Iterable[T], size: int, name: Callable[[Sequence[T]], str]) -> Iterator[Chunk[T]]:
    """Yield chunks of `size` items, the last one with those that remain, each with the name for its items."""
    waiting = iter(items)
    while chunk := Chunk(islice(waiting, size)):
        chunk.name = name(chunk)
        yield chunk


@dataclass(eq=False)
class _Job:
    """A task that was begun."""

    task: object
    tries: int = 0
    outcome: tuple[str, Any] | None = None
    """``done`` and the result, or ``failed`` and the exception; None until then."""

    def result(self) -> Any:
        """Return what the task returned, or raise what it raised."""
        assert self.outcome is not None
        kind, value = self.outcome
        if kind == "failed":
            raise value
        return value


class _Crew:
    """The processes of one map, and the jobs they have begun."""

    def __init__(self, plan: Processes, function: Work, answer: AnswerAll | None) -> None:
        self.begun: deque[_Job] = deque()
        """In order; the result of the first of them is the next that the map yields."""
        self._plan = plan
        self._function = function
        self._answer = answer
        self._waiting: deque[_Job] = deque()
        self._jobs: dict[Worker, _Job | None] = {}
        """The job of every process; None for one that is idle."""
        self._mailbox = Mailbox(plan.limit)

    def begin(self, tasks: Iterable[object]) -> None:
        """Queue tasks, and give one to every idle process; start processes up to the size of the pool."""
        jobs = [_Job(task) for task in tasks]
        self.begun += jobs
        self._waiting += jobs
        idle = [worker for worker, job in self._jobs.items() if job is None]
        while self._waiting and (idle or len(self._jobs) < self._plan.size):
            worker = idle.pop() if idle else Worker(self._function, self._mailbox)
            job = self._waiting.popleft()
            self._jobs[worker] = job
            worker.tell(job.task, self._plan.limit)

    def receive(self, wait: bool) -> None:
        """Handle all messages that have come; if `wait`, wait for the first one."""
        questions: list[WorkerMessage] = []
        message = self._mailbox.next(self._jobs, wait)
        while message is not None:
            if message.kind == "ask":
                questions.append(message)
            else:
                self._take(message)
            message = self._mailbox.next(self._jobs, wait=False)
        # One call answers all questions that have come: a model answers them faster as a batch.
        if questions:
            assert self._answer is not None, "a task asks, but the map has no `answer`"
            answers = self._answer([question.value for question in questions])
            for question, answer in zip(questions, answers, strict=True):
                question.sender.tell(answer, self._plan.limit)

    def end(self) -> None:
        """End all processes at once."""
        for worker in self._jobs:
            worker.kill()

    def _take(self, message: WorkerMessage) -> None:
        """Keep the outcome of a job. If its process died, the job is done again."""
        job = self._jobs[message.sender]
        if message.kind == "died":
            del self._jobs[message.sender]
            if job is not None:
                self._requeue(job, message.value)
            return
        assert job is not None, "a process without a job sends no message"
        job.outcome = message.kind, message.value
        self._jobs[message.sender] = None

    def _requeue(self, job: _Job, why: str) -> None:
        """Queue the job of a dead process before all others. After `TRIES` deaths its outcome is `Lost`."""
        job.tries += 1
        if job.tries == TRIES:
            error = Lost(f"{TRIES} processes ended over the same task, {job.task}; the last: {why}")
            job.outcome = "failed", error
            return
        log.warning("%s over %s; doing it again in a new process", why, job.task)
        # Results are given out in order, so all others would wait for this one.
        self._waiting.appendleft(job)
