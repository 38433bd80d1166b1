"""Many processes of one run, one a device, by accelerate's launcher.

Each of them runs the command that was typed, and joins the others in `distributed.together`. A configuration
of accelerate says how weights are divided among the devices; some come with the package.
"""

import argparse
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from types import FrameType

import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from torch.distributed.elastic.agent.server import api as agent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from .recipe import Recipe


def launch(arguments: Sequence[str], processes: int, how: str = "ddp") -> int:
    """Run ``vlm-gym ARGUMENTS`` in a number of processes, and return its exit status.

    `how` is the path of a configuration of accelerate, or a name of `shipped_accelerate`. If a process ends
    badly, the others are ended, too. Raises `KeyboardInterrupt` once all have stopped after Ctrl-C, and
    `ValueError` for what cannot be started.
    """
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise ValueError(
            f"--num-processes {processes} is not possible; a process takes a GPU, of {gpus} here"
        )
    asked = _asked(how, processes, bool(gpus), "-m", "vlm_gym.cli", *arguments)
    # Processes report their own errors. The agent's module sets its own level when it is imported.
    for module in ("torch.distributed.elastic", agent.__name__):
        logging.getLogger(module).setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP warns of a model that uses all of its weights
    # Elastic's own handler of Ctrl-C would raise again during the cleanup after the first one.
    asked.signals_to_handle = "SIGTERM,SIGHUP,SIGQUIT"
    try:
        with _passed_on():
            launch_command(asked)
    except SignalException as stopped:
        raise KeyboardInterrupt from stopped
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        if code < 0:
            raise RuntimeError(f"a process was ended by signal {-code}; --resume goes on") from error
        return code
    except CalledProcessError as error:
        return error.returncode
    return 0


@contextmanager
def _passed_on() -> Iterator[None]:
    """Raise elastic's `SignalException` at Ctrl-C, so that it ends the processes by the same signal.

    `interrupts` handles a second Ctrl-C.
    """
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: None)  # `interrupts` still handles a second one
        raise SignalException("Ctrl-C", signal.Signals(number))

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def usual(recipe: Recipe) -> int:
    """Return the default number of training processes: 1 with a GPU, else the number in the recipe."""
    return 1 if torch.cuda.is_available() else recipe.processes


def accelerate_variables(processes: int, how: str, gpus: bool) -> dict[str, str]:
    """Return the environment variables of accelerate, without the rank, for processes of another launcher."""
    asked, defaults, _ = _validate_launch_command(_asked(how, processes, gpus, "-m", "vlm_gym.cli"))
    if asked.use_deepspeed:
        asked.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, variables = prepare_deepspeed_cmd_env(asked)
    else:
        variables = prepare_multi_gpu_env(asked)
    chosen = dict[str, str]()
    for name, value in variables.items():
        if name.startswith(("ACCELERATE_", "FSDP_")):
            chosen[name] = value
    return chosen


def shipped_accelerate() -> dict[str, Path]:
    """List the configurations that come with the package, by name."""
    folder = Path(str(import_module("vlm_gym.configs").__file__)).parent / "accelerate"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _asked(how: str, processes: int, gpus: bool, *command: str) -> argparse.Namespace:
    """Parse the arguments of accelerate's own launcher for what is asked for.

    Raises `ValueError` if the configuration needs deepspeed or a GPU that is not there.
    """
    path = _find(how)
    backend = load_config_from_file(str(path)).distributed_type.value
    if backend == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise ValueError(f"{path} takes deepspeed, which is not installed: pip install deepspeed")
    if not gpus and backend not in ("MULTI_GPU", "DEEPSPEED"):  # accelerate would silently start DDP
        raise ValueError(f"{path} is {backend}, which takes GPUs; without a GPU, use --accelerate ddp")
    options = ["--config_file", path, "--num_processes", processes, "--main_process_port", 0]
    arguments = [*map(str, options), "--num_cpu_threads_per_process", _threads(), *command]
    asked: argparse.Namespace = launch_command_parser().parse_args(arguments)
    return asked


def _find(how: str) -> Path:
    """Find a configuration by its path or name. Raises `ValueError` that lists the names."""
    if Path(how).is_file():
        return Path(how)
    known = shipped_accelerate()
    if how not in known:
        raise ValueError(
            f"no configuration of accelerate is {how!r}; give a path, or one of {', '.join(known)}"
        )
    return known[how]


def _threads() -> str:
    """Return the number of threads of a process: 1 by default, as threads that share a core are slow."""
    return os.environ.get("OMP_NUM_THREADS", "1")
