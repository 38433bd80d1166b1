"""One worker process: it gets tasks and sends results back; its death or hang is detected."""

import os
import pickle
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from math import inf
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Thread
from time import monotonic
from traceback import format_exception
from typing import Any, NamedTuple

Work = Callable[[Any], Any]
"""The function that a process applies to every task; only its caller has the types."""

TRIES = 3
"""Processes that may end over one task before it is given up."""
START = 120.0
"""Seconds that a process may take to start on a busy machine."""

_spawn = get_context("spawn")
_parent: Connection | None = None
"""In a worker process, the connection to its parent."""


class Lost(RuntimeError):
    """A task was given up: every process that tried it was killed or timed out."""


def ask(question: object) -> Any:
    """Send a question from inside a task to the parent's `answer`, and return the answer."""
    assert _parent is not None, "only a task in a worker process has a parent to ask"
    _parent.send(("ask", question))
    return _parent.recv()


class Worker:
    """A process, and a thread that exchanges messages with it, so that no other code waits in a pipe.

    The process reports when it is ready. From then on it sends one message for each that it gets. The thread
    puts them into the mailbox, and None if the process has died.
    """

    def __init__(self, function: Work, mailbox: "Mailbox") -> None:
        self.ready = False
        self.deadline = inf
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        pipe, far_end = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(function, far_end), daemon=True)
        with _interrupts_blocked():
            self._process.start()
        far_end.close()
        Thread(target=self._talk, args=(pipe, mailbox), daemon=True).start()

    def tell(self, message: object, limit: float) -> None:
        """Send a message, and expect one back within so many seconds."""
        self.expect(limit if self.ready else START)
        self._outbox.put(pickle.dumps(message))

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

    def _talk(self, pipe: Connection, mailbox: "Mailbox") -> None:
        """Exchange messages with the process until it is killed or dies: the main function of the thread."""
        with pipe, suppress(EOFError, OSError):
            mailbox.put(self, pipe.recv_bytes())
            while (data := self._outbox.get()) is not None:
                pipe.send_bytes(data)
                mailbox.put(self, pipe.recv_bytes())
            return
        mailbox.put(self, None)


class WorkerMessage(NamedTuple):
    """A message from a worker, or a report of how it ended."""

    sender: Worker
    kind: str
    """``ask``, ``done``, ``failed`` or ``died``."""
    value: Any
    """The question, the result, the exception, or a sentence on how the process ended."""


class Mailbox:
    """Messages of several workers in the order in which they came, and notice of those that died or hang."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        """Seconds of silence over a task after which a process counts as hung."""
        self._messages: SimpleQueue[tuple[Worker, bytes | None]] = SimpleQueue()

    def put(self, sender: Worker, data: bytes | None) -> None:
        """Add what a worker sent, pickled; None if its process has ended."""
        self._messages.put((sender, data))

    def next(self, workers: Collection[Worker], wait: bool = True) -> WorkerMessage | None:
        """Return the next message of one of these workers; the process of a ``died`` one is ended.

        Messages of other workers are dropped: they died or hung before. Without `wait`, the result is None
        where there is no message.
        """
        while True:
            try:
                timeout = self._remaining(workers) if wait else 0.0
                sender, data = self._messages.get(timeout=timeout)
            except Empty:
                hung = next((worker for worker in workers if worker.deadline <= monotonic()), None)
                if hung is not None:
                    hung.kill()
                    seconds = self.limit if hung.ready else START
                    return WorkerMessage(hung, "died", f"a process was silent for {seconds:g} seconds")
                if wait:
                    continue  # a deadline beyond the longest timeout of a queue
                return None
            kind, value = ("died", None) if data is None else pickle.loads(data)
            if kind == "ready":
                sender.ready = True
                sender.expect(self.limit)
            elif sender in workers:
                sender.deadline = inf
                return WorkerMessage(sender, kind, sender.kill() if kind == "died" else value)

    def _remaining(self, workers: Collection[Worker]) -> float:
        """Return the seconds to the first deadline, at most as many as a queue can wait."""
        remaining = min([worker.deadline for worker in workers]) - monotonic()
        return min(max(0.0, remaining), TIMEOUT_MAX)


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
    """Do one task, and pickle its result or the exception that it raised."""
    try:
        return pickle.dumps(("done", function(task)))
    except Exception as error:
        trace = "In a worker process:\n" + "".join(format_exception(error))
        error.add_note(trace)
        try:
            data = pickle.dumps(("failed", error))
            pickle.loads(data)
        except Exception:  # some exceptions cannot be pickled or unpickled, and raise various errors
            data = pickle.dumps(("failed", RuntimeError(trace)))
        return data


def _end_with_parent() -> None:
    """End this process at once when its parent has exited."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT while processes are spawned, so that they inherit the block.

    A terminal sends SIGINT to all processes at Ctrl-C; the parent alone ends its workers.
    """
    resource_tracker.ensure_running()  # it would unblock SIGINT if it started inside the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
