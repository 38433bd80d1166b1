"""A pool of processes that maps a function over tasks, in order, and survives the death of processes."""

import logging
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from math import inf
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Thread
from time import monotonic
from traceback import format_exception
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Answer = Callable[[list[Any]], list[Any]]
"""Answers the questions of all processes that wait for one, in one call."""
Work = Callable[[Any], Any]
"""What is done to every task of a map, whose caller knows the types."""

AHEAD = 4
"""Tasks, in units of processes, that may be begun and not yet given out: a slow reader stops the work."""
TRIES = 3
"""Processes that may end over one task before it is given up."""
START = 120.0
"""Seconds that a process may take to start on a busy machine."""

log = logging.getLogger(__name__)
_spawn = get_context("spawn")
_parent: Connection | None = None
"""In a worker process, the way to its parent."""


class Lost(RuntimeError):
    """A task was given up: every process that tried it was killed or timed out."""


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
        self, function: Callable[[T], R], tasks: Iterable[T], answer: Answer | None = None
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
        self, function: Callable[[T], R], tasks: Iterable[T], answer: Answer | None = None
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
                crew.hear(wait=first.outcome is None)
                if first.outcome is not None:
                    yield crew.begun.popleft().give()
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
    """Yield `size` items at a time, the last time what is left, each chunk with the name for its items."""
    waiting = iter(items)
    while chunk := Chunk(islice(waiting, size)):
        chunk.name = name(chunk)
        yield chunk


def ask(question: object) -> Any:
    """Send a question from inside a task to the parent's `answer`, and return the answer."""
    assert _parent is not None, "only a task in a worker process has a parent to ask"
    _parent.send(("ask", question))
    return _parent.recv()


@dataclass(eq=False)
class _Job:
    """A task that was begun."""

    task: object
    tries: int = 0
    outcome: tuple[str, Any] | None = None
    """``done`` and the result, or ``failed`` and the exception; None as long as it is in work."""

    def give(self) -> Any:
        """Return what the task returned, or raise what it raised."""
        assert self.outcome is not None
        kind, value = self.outcome
        if kind == "failed":
            raise value
        return value


class Worker:
    """A process, and a thread that exchanges messages with it, so that no other code waits for half a one.

    The process says when it is ready. Then the two take turns: for each message to the process there is one
    back, None if it died instead.
    """

    def __init__(self, function: Work, inbox: "Inbox") -> None:
        self.job: _Job | None = None
        self.ready = False
        self.deadline = inf
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        pipe, far_end = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(function, far_end), daemon=True)
        with _deaf_to_interrupts():
            self._process.start()
        far_end.close()
        Thread(target=self._talk, args=(pipe, inbox), daemon=True).start()

    def tell(self, words: object, limit: float) -> None:
        """Send a message, and expect one back within so many seconds."""
        self.expect(limit if self.ready else START)
        self._outbox.put(pickle.dumps(words))

    def expect(self, limit: float) -> None:
        """Set the deadline for the next message of the worker, in seconds from now."""
        self.deadline = monotonic() + limit

    def kill(self) -> str:
        """End the process at once, and say how it ended."""
        self._process.kill()
        self._process.join()
        self._outbox.put(None)
        code = self._process.exitcode or 0
        return f"process {self._process.pid} " + (f"got signal {-code}" if code < 0 else f"ended with {code}")

    def _talk(self, pipe: Connection, inbox: "Inbox") -> None:
        with pipe, suppress(EOFError, OSError):
            inbox.put((self, pipe.recv_bytes()))
            while (words := self._outbox.get()) is not None:
                pipe.send_bytes(words)
                inbox.put((self, pipe.recv_bytes()))
            return
        inbox.put((self, None))


Inbox = SimpleQueue[tuple[Worker, bytes | None]]
"""What workers send, pickled, each beside who sent it; None from one whose process has ended."""


class _Crew:
    """The processes of one map, and the jobs they have begun."""

    def __init__(self, plan: Processes, function: Work, answer: Answer | None) -> None:
        self.begun: deque[_Job] = deque()
        """In order; the first of them is the next to be given out."""
        self._plan = plan
        self._function = function
        self._answer = answer
        self._waiting: deque[_Job] = deque()
        self._workers: list[Worker] = []
        self._inbox: Inbox = SimpleQueue()

    def begin(self, tasks: Iterable[object]) -> None:
        """Take up tasks, and give every process something to do."""
        jobs = [_Job(task) for task in tasks]
        self.begun += jobs
        self._waiting += jobs
        idle = [worker for worker in self._workers if worker.job is None]
        while self._waiting and (idle or len(self._workers) < self._plan.size):
            worker = idle.pop() if idle else self._hire()
            worker.job = self._waiting.popleft()
            worker.tell(worker.job.task, self._plan.limit)

    def hear(self, wait: bool) -> None:
        """Take in all that the processes have to say; wait for a first word if asked to."""
        questions: list[tuple[Worker, object]] = []
        try:
            patience = min(worker.deadline for worker in self._workers) - monotonic() if wait else 0.0
            self._take(*self._inbox.get(timeout=min(max(0.0, patience), TIMEOUT_MAX)), questions)
            while True:
                self._take(*self._inbox.get_nowait(), questions)
        except Empty:
            self._end_hung()
        if questions:
            assert self._answer is not None, "a task asks, but nobody answers"
            answers = self._answer([question for _, question in questions])
            for (worker, _), words in zip(questions, answers, strict=True):
                worker.tell(words, self._plan.limit)

    def end(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.kill()

    def _hire(self) -> Worker:
        self._workers.append(Worker(self._function, self._inbox))
        return self._workers[-1]

    def _take(self, worker: Worker, words: bytes | None, questions: list[tuple[Worker, object]]) -> None:
        if worker not in self._workers:
            return  # it timed out; another process has its job
        worker.deadline = inf
        kind, value = ("died", None) if words is None else pickle.loads(words)
        assert worker.job is not None
        if kind == "died":
            self._bury(worker, worker.kill())
        elif kind == "ready":
            worker.ready = True
            worker.expect(self._plan.limit)
        elif kind == "ask":
            questions.append((worker, value))
        else:
            worker.job.outcome = (kind, value)
            worker.job = None

    def _end_hung(self) -> None:
        for worker in [worker for worker in self._workers if worker.deadline <= monotonic()]:
            worker.kill()
            limit = self._plan.limit if worker.ready else START
            self._bury(worker, f"a process was silent for {limit:g} seconds")

    def _bury(self, worker: Worker, why: str) -> None:
        """Requeue the job of a dead worker at the front. After `TRIES` deaths its outcome is `Lost`."""
        self._workers.remove(worker)
        job = worker.job
        assert job is not None
        job.tries += 1
        if job.tries == TRIES:
            error = Lost(f"{TRIES} processes ended over the same task, {job.task}; the last: {why}")
            job.outcome = "failed", error
            return
        log.warning("%s over %s; doing it again in a new process", why, job.task)
        self._waiting.appendleft(job)


def _serve(function: Work, pipe: Connection) -> None:
    """Do tasks until the parent ends: the main function of a worker process."""
    global _parent
    _parent = pipe
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        pipe.send(("ready", None))
        while True:
            pipe.send_bytes(_do(function, pipe.recv()))


def _do(function: Work, task: object) -> bytes:
    try:
        return pickle.dumps(("done", function(task)))
    except Exception as error:
        trace = "In a worker process:\n" + "".join(format_exception(error))
        error.add_note(trace)
        try:
            words = pickle.dumps(("failed", error))
            pickle.loads(words)
        except Exception:  # some exceptions cannot be pickled, and raise various errors
            words = pickle.dumps(("failed", RuntimeError(trace)))
        return words


def _end_with_parent() -> None:
    """End this process at once when its parent has exited."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Block SIGINT while processes are spawned, so that they inherit the block.

    A terminal sends SIGINT to all processes at Ctrl-C; the parent alone ends its workers.
    """
    resource_tracker.ensure_running()  # it would unblock SIGINT if it started inside the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
