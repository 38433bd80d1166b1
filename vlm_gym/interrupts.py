"""Handling of Ctrl-C for the command, without a traceback at any moment.

While modules are imported there is nothing to save, and the process ends at once (`starting`). After that,
the first Ctrl-C raises `KeyboardInterrupt`, as everywhere in Python, so that commands save their work. The
second ends the process at once, wherever it is, with status 130. Files of this package survive a
process that ends at any moment.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, current_thread, main_thread
from time import sleep

from vlm_gym.starting import COMMAND, end_quietly

STATUS = 128 + signal.SIGINT
"""The exit status of a command that was interrupted."""
_SHOW_CURSOR = "\x1b[?25h"
"""Restores the cursor, which progress bars hide."""

_by_force: list[Callable[[], object]] = []
"""Actions that are run when a process is ended at once."""
_interrupts = 0
"""The number of SIGINTs received."""


def _default(handler: object) -> bool:
    """Return whether Python's own handler is set, in the thread that signals come to."""
    return handler is signal.default_int_handler and current_thread() is main_thread()


@contextmanager
def importing() -> Iterator[None]:
    """Restore the default action of SIGINT during imports, so that Ctrl-C ends the process quietly.

    Many modules turn a `KeyboardInterrupt` during their import into other errors.
    """
    before = signal.getsignal(signal.SIGINT)
    if not _default(before):
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def handled() -> Iterator[None]:
    """Handle Ctrl-C: raise `KeyboardInterrupt` at the first, and end the process at the second.

    Python's own handler stays, since asyncio and others look for it. Beside it, the number of each signal is
    written to a socket, where a thread reads it even if the main thread is busy in a library.
    """
    global _interrupts
    _interrupts = 0
    if COMMAND:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not _default(signal.getsignal(signal.SIGINT)):
        yield
        return
    listener, bell = socket.socketpair()
    bell.setblocking(False)
    before = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    Thread(target=_listen, args=(listener,), daemon=True).start()
    hook = sys.unraisablehook
    sys.unraisablehook = _raise_again
    try:
        yield
    finally:
        end_quietly()
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before)
        bell.close()  # which ends the thread


def came() -> bool:
    """Return whether Ctrl-C has come, so that any error after it is a consequence."""
    sleep(0.02)  # the thread may not have read the latest Ctrl-C yet
    return _interrupts > 0


@contextmanager
def by_force(action: Callable[[], object]) -> Iterator[None]:
    """Run an action, such as ending a server, if a second Ctrl-C comes during the block."""
    _by_force.append(action)
    try:
        yield
    finally:
        _by_force.remove(action)


def _listen(listener: socket.socket) -> None:
    global _interrupts
    with listener:
        while numbers := listener.recv(64):
            _interrupts += numbers.count(signal.SIGINT)
            if _interrupts > 1:
                _end()


def _end() -> None:
    """End this process now, and restore the terminal."""
    for action in list(_by_force):
        with suppress(Exception):
            action()
    if sys.stderr is not None and sys.stderr.isatty():
        with suppress(OSError):
            os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(STATUS)


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise `KeyboardInterrupt` again if it came in code that suppresses exceptions."""
    global _interrupts
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _interrupts -= 1  # the same Ctrl-C counts once
        Thread(target=_interrupt_after_hook, daemon=True).start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt_after_hook() -> None:
    """Interrupt the main thread once it has left `_raise_again`: Python prints what is raised in a hook."""
    while _in_hook():
        sleep(0.001)
    signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)  # which ends a call that waits, too


def _in_hook() -> bool:
    """Return whether the main thread is in `_raise_again`."""
    frame = sys._current_frames().get(main_thread().ident or 0)
    while frame is not None:
        if frame.f_code is _raise_again.__code__:
            return True
        frame = frame.f_back
    return False
