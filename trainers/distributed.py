"""The processes of one run, one a device: which is the main one, and how work is shared.

A launcher starts them with ``RANK`` and ``WORLD_SIZE`` in their environment (`launch`, `ray_launch`,
``accelerate launch``, ``torchrun``). Without these, a process is the main one of one.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from time import sleep
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = timedelta(days=1)
"""How long processes wait for one another: the main one may wait for a slow endpoint that makes data."""
_GRACE = 10
"""Seconds in which a launcher ends the other processes after one has failed."""


@contextmanager
def together() -> Iterator[PartialState]:
    """Join the other processes of a run, if there are any, and leave them at the end.

    A process ends with its launcher, however that ends, so that none is left behind in the folder of a run.
    """
    # The parent is process 1 if the launcher has ended already, or in a container that it is the first of.
    if (launcher := os.getppid()) != 1 and "RANK" in os.environ:
        Thread(target=_end_with, args=(launcher,), daemon=True).start()
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    try:
        yield state
    except RuntimeError as error:
        if peer_lost(error):  # the other process reports the cause, so this error is dropped
            sleep(_GRACE)
        raise
    state.destroy_process_group()


def peer_lost(error: BaseException) -> bool:
    """Return whether an error reports only that another process has ended."""
    return isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error)


def shared(items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """Work on items, each process on its share of them, and return all results, in order, to each process.

    Every process has to call it, with the same items. Shares are filled up to equal sizes by items of other
    shares, whose second results are dropped: sharded models only work on all processes at once, and TRL finds
    the replies of vLLM by the number of prompts of a process, times its rank.
    """
    state = PartialState()
    size = state.num_processes
    rank = state.process_index
    if size == 1:
        return list(work(items))
    share = items[rank::size]  # in turn, so that shares differ by one item at most
    largest_share = -(-len(items) // size)
    mine = list(work([*share, *items[: largest_share - len(share)]]))
    of_all: list[list[R]] = gather_object([mine])  # (processes, largest_share)
    # Item i was the (i // size)-th of process i % size.
    return [of_all[index % size][index // size] for index in range(len(items))]


def everyone(items: Sequence[T]) -> list[T]:
    """Gather the items of all processes, in the order of the processes. Every process has to call it."""
    every: list[T] = gather_object(list(items))
    return every


def of_mine(items: Sequence[T]) -> list[T]:
    """Return this process's share of items that `everyone` gathered, where all processes had equally many."""
    state = PartialState()
    size = len(items) // state.num_processes
    return list(items[state.process_index * size : (state.process_index + 1) * size])


def apart() -> None:
    """Reset ZeRO-3 and free the memory of past trainers, so that each process loads whole models by itself.

    While a ZeRO-3 configuration is set, transformers shards what it loads and waits for all processes.
    Trainers and models refer to each other, so only the garbage collector frees weights and optimizers.
    """
    unset_hf_deepspeed_config()
    gc.collect()
    torch.cuda.empty_cache()


def _end_with(launcher: int) -> None:
    while os.getppid() == launcher:
        sleep(0.5)
    os._exit(1)  # the main thread may wait in a collective operation, which no exception would end
