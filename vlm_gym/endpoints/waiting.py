"""Waiting for an endpoint: from synchronous and asynchronous callers, with bounded pauses."""

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from time import time
from typing import TypeVar

T = TypeVar("T")

_FIRST = 0.5
_LONGEST = 8.0
"""Seconds before the first repetition, each further pause being twice as long, and at most."""
_PATIENCE = 60.0
"""Seconds of a pause that an endpoint may ask for."""


def run_coroutine(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end, also where this thread runs an event loop already, as in a notebook.

    The caller waits. There the coroutine runs in a thread of its own, and an interrupt cancels it.
    """
    if not _inside_a_loop():
        return asyncio.run(work)
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[object]]] = Future()

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1) as helper:
        ending = helper.submit(lambda: asyncio.run(watched()))
        try:
            return ending.result()
        except KeyboardInterrupt:
            loop, task = begun.result()
            with suppress(RuntimeError):  # it has ended in the meantime
                loop.call_soon_threadsafe(task.cancel)
            raise


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def pause(tries: int, headers: Mapping[str, str]) -> float:
    """Return the seconds to wait after so many tries: what the endpoint asks for, or twice the last pause."""
    asked = _asked(headers)
    if asked is not None and 0 <= asked <= _PATIENCE:
        return asked
    return min(_LONGEST, _FIRST * 2.0 ** (tries - 1))


def _asked(headers: Mapping[str, str]) -> float | None:
    """Read the headers in which endpoints ask for a pause: in milliseconds, in seconds, or until a date."""
    with suppress(KeyError, ValueError):
        return float(headers["retry-after-ms"]) / 1000
    after = headers.get("retry-after", "")
    with suppress(ValueError):
        return float(after)
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(after).timestamp() - time()
    return None
