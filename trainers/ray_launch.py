"""The processes of one run on a Ray cluster: Ray Train's `TorchTrainer` around what every launcher runs.

All nodes share the folder of the run. A process that is lost, with its node or alone, ends the others; Ray
starts them anew, on other nodes if necessary, and they resume from the last checkpoint in that folder.
"""

import os
import secrets
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any

from vlm_gym.rollouts.cluster import Cluster
from vlm_gym.storage import locked_folder

from . import launch, settings
from .distributed import PATIENCE, peer_lost
from .ray_servers import check_cluster, serve_recipe
from .recipe import Recipe
from .tracking import METRICS, follow
from .train import hush, train, vacant

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

FAILURES = 8
"""Restarts of a run after a loss, and one-minute waits of Ray for free resources."""


class ReportedError(Exception):
    """The message of an error in a process that a restart would not solve."""


@dataclass(frozen=True)
class ProcessTask:
    """The task of each process."""

    recipe: Recipe
    out: Path
    command: str
    home: Path
    """The folder that the command was typed in."""
    mark: Path
    """A file that all nodes can see, if they share the folder of the run."""
    environment: Mapping[str, str]


def train_on(
    address: str,
    recipe: Recipe,
    out: Path,
    processes: int,
    *,
    how: str = "ddp",
    resume: bool = False,
    command: str = "",
) -> Path:
    """Run a recipe in a number of processes of a Ray cluster, and return the path of the report.

    `address` is ``auto``, ``local`` or ``HOST:PORT`` (`Cluster`); `how` is as in `launch.launch`. The folder
    has to be one that all nodes share. A process takes a GPU where the cluster has any, else a CPU. Raises
    `ValueError` for what cannot be started, `ConnectionError` where there is no cluster, and `RuntimeError`
    with the message of the process that failed.
    """
    hush()
    vacant(out, resume)
    settings.both(recipe, out, processes)
    with locked_folder(out):
        pass
    with Cluster(address) as cluster:
        environment = launch.accelerate_variables(processes, how, cluster.gpus > 0)
        check_cluster(cluster, recipe, processes)
        with serve_recipe(recipe) as served, _marked(out) as mark, TemporaryDirectory() as storage:
            task = ProcessTask(served, out, command, Path.cwd(), mark, environment)
            fitted = _begin(_trainer(task, processes, cluster.gpus > 0, storage))
            totals = dict[str, int]()
            if recipe.cold_start:
                totals["cold_start"] = recipe.cold_start.steps
            if recipe.grpo:
                totals["grpo"] = recipe.grpo.steps
            follow(out / METRICS, totals, fitted)
            _wait(fitted, cluster, processes)
    return out / "report.html"


def _trainer(work: ProcessTask, processes: int, gpus: bool, storage: str) -> "TorchTrainer":
    from ray.train import UserCallback
    from ray.train.torch import TorchConfig, TorchTrainer

    ray_train: Any = import_module("ray.train")  # its type hints are those of an earlier version

    class Mistakes(UserCallback):
        """Ends the run at once on an error that a restart would not solve, which Ray takes for a loss."""

        def after_exception(self, run_context: object, worker_exceptions: dict[int, Exception]) -> None:
            mistakes = [error for error in worker_exceptions.values() if isinstance(error, ReportedError)]
            if mistakes and len(mistakes) == len(worker_exceptions):
                raise mistakes[0]

    return TorchTrainer(
        _work,
        train_loop_config={"work": work},
        torch_config=TorchConfig(timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ray_train.ScalingConfig(num_workers=processes, use_gpu=gpus),
        run_config=ray_train.RunConfig(
            storage_path=storage,
            failure_config=ray_train.FailureConfig(max_failures=FAILURES, controller_failure_limit=FAILURES),
            callbacks=[Mistakes()],
            logging_config=ray_train.LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _begin(trainer: "TorchTrainer") -> "Future[None]":
    """Start Ray's training in a thread. In the main thread Ray would handle Ctrl-C and end with status 0."""
    fitted: Future[None] = Future()

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            fitted.set_exception(error)
        else:
            fitted.set_result(None)

    Thread(target=fit, daemon=True).start()
    return fitted


def _wait(fitted: "Future[None]", cluster: Cluster, processes: int) -> None:
    """Wait for the end of the run. Raises `RuntimeError` if Ray or a process has failed."""
    from ray.train import ControllerError, WorkerGroupError

    try:
        fitted.result()
    except ControllerError as error:
        if isinstance(error.controller_failure, ReportedError):
            raise RuntimeError(str(error.controller_failure)) from None
        raise RuntimeError(
            f"Ray Train cannot start {processes} processes on {cluster.size} CPUs and {cluster.gpus} GPUs: "
            f"{error.controller_failure}; --resume goes on"
        ) from error
    except WorkerGroupError as error:
        raise RuntimeError(
            f"processes were lost {FAILURES + 1} times; --resume goes on. The last: {error}"
        ) from error


def _work(config: dict[str, ProcessTask]) -> None:
    """Run one of the training processes. It resumes from what an earlier attempt left in the folder."""
    work = config["work"]
    try:
        if not (work.home.is_dir() and work.mark.exists()):
            raise ValueError(
                f"{work.mark.parent} on {gethostname()} is not what it is where the command was typed; "
                "on Ray a run takes a folder on a file system that all nodes share: choose it with -o"
            )
        os.environ.update(work.environment)
        os.chdir(work.home)
        if os.environ["RANK"] == "0":
            with locked_folder(work.out, wait=True):  # the previous attempt may still be ending
                pass
        train(work.recipe, work.out, True, work.command)
    except Exception as error:
        if peer_lost(error):
            raise
        known = isinstance(error, ValueError | RuntimeError | OSError)
        raise ReportedError(str(error) if known else traceback.format_exc()) from None


@contextmanager
def _marked(out: Path) -> Iterator[Path]:
    """Yield a marker file in a folder, by which other nodes check that they share the folder."""
    mark = out.resolve() / f".{secrets.token_hex(8)}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink()
