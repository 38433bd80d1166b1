"""A Ray cluster: its processors as a pool of workers, and policies that need a device as actors.

Every node needs vlm-gym and the games; a task is a few hundred bytes and can be done again anywhere.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from socket import create_connection
from typing import Any, TypeVar

from vlm_gym.rollouts.policy import Policy, Request, reply_to_all
from vlm_gym.storage import Closing
from vlm_gym.worker_process import TRIES, Lost
from vlm_gym.workers import AHEAD, AnswerAll

T = TypeVar("T")
R = TypeVar("R")


class Cluster(Closing):
    """A `workers.Pool` whose processes are those of a Ray cluster, one for each of its processors.

    `address`: ``auto`` joins the cluster of this machine, ``HOST:PORT`` any other, and ``local`` starts one
    that ends with `close`. A Ray that the program has already joined is used as it is, and stays.
    Raises `ValueError` without Ray or for another word, `ConnectionError` where there is no cluster.
    """

    def __init__(self, address: str = "auto") -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = _ray()
        self._joined = not self._ray.is_initialized()
        if self._joined:
            _check_address(address)
            alone = {"include_dashboard": False} if address == "local" else {}
            self._ray.init(address, log_to_driver=False, logging_level="WARNING", **alone)

    @property
    def size(self) -> int:
        """Processors of all nodes that are there now."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    @property
    def gpus(self) -> int:
        """GPUs of all nodes that are there now."""
        return int(self._ray.cluster_resources().get("GPU", 0))

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], answer: AnswerAll | None = None
    ) -> Iterator[R]:
        """As `workers.Pool.map`, without questions: `ValueError` if a function to answer them is given."""
        if answer is not None:
            raise ValueError(
                "a policy that stays here cannot serve a cluster; make it policy actors: --policy-actors 1"
            )
        do = self._ray.remote(num_cpus=1, max_retries=TRIES - 1)(_do)
        shared = self._ray.put(function)
        begun: deque[tuple[T, Any]] = deque()
        try:
            for task in tasks:
                begun.append((task, do.remote(shared, task)))
                if len(begun) >= AHEAD * self.size:
                    yield self._result(*begun.popleft())
            while begun:
                yield self._result(*begun.popleft())
        finally:
            for _, promise in begun:
                self._ray.cancel(promise, force=True)

    def policy(self, make: Callable[[], Policy], actors: int) -> Policy:
        """Make a policy in each of so many actors, which share the GPUs of the cluster, if there are any."""
        if actors < 1:
            raise ValueError(f"{actors} policy actors are not possible; it takes one or more")
        actor = self._ray.remote(
            num_cpus=0, num_gpus=min(1, self.gpus / actors), max_restarts=-1, max_task_retries=-1
        )(_Actor)
        return _Actors([actor.remote(make) for _ in range(actors)])

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self._joined:
            self._ray.shutdown()

    def _result(self, task: Any, promise: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(promise)
        except errors.RayTaskError:
            raise
        except errors.RayError as error:
            raise Lost(f"{TRIES} processes ended over the same task, {task}; the last: {error}") from error


class _Actor:
    """A policy in a process of its own. Batches that come in while it is busy wait, and go as one."""

    def __init__(self, make: Callable[[], Policy]) -> None:
        self._policy = make()
        self._busy = asyncio.Lock()
        self._waiting: list[tuple[Sequence[Request], asyncio.Future[list[str]]]] = []

    async def traits(self) -> tuple[str, bool]:
        return self._policy.name, self._policy.sees

    async def act(self, requests: Sequence[Request]) -> list[str]:
        replies: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((requests, replies))
        async with self._busy:
            if not replies.done():
                await self._serve()
        return replies.result()

    async def _serve(self) -> None:
        served = self._waiting
        self._waiting = []
        try:
            batches = [requests for requests, _ in served]
            for (_, future), replies in zip(
                served, await asyncio.to_thread(reply_to_all, self._policy, batches), strict=True
            ):
                future.set_result(replies)
        except Exception as error:
            for _, future in served:
                future.set_exception(error)


class _Actors:
    """Policy actors as one policy, which any task of the cluster can use; each gets its share of a batch."""

    portable = True

    def __init__(self, actors: list[Any]) -> None:
        self._actors = actors
        self.name, self.sees = _ray().get(actors[0].traits.remote())

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request, in order."""
        count = len(self._actors)
        shares = [requests[number::count] for number in range(count)]
        promises = list[object]()
        for actor, share in zip(self._actors, shares, strict=True):
            if share:  # with fewer requests than actors, the last shares are empty
                promises.append(actor.act.remote(share))
        replies = [""] * len(requests)
        for number, share in enumerate(_ray().get(promises)):
            replies[number::count] = share
        return replies


def _do(function: Callable[[T], R], task: T) -> R:
    return function(task)


def _check_address(address: str) -> None:
    """Check that a server listens at an address: Ray itself would wait for minutes without a message."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if address in ("auto", "local"):
        return
    if not host or not port.isdecimal():
        raise ValueError(f"cluster {address!r} is not possible; it takes auto, local, or HOST:PORT")
    try:
        create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ConnectionError(f"no Ray cluster answers at {address}: {error}") from error


def _ray() -> Any:
    """Import Ray, which takes a second and is an extra."""
    try:
        import ray
    except ImportError as error:
        raise ValueError('a cluster needs Ray, which is not installed: pip install "vlm-gym[ray]"') from error
    return ray
