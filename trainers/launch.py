"""Many processes of one run, one a device, by accelerate's launcher.

Each of them runs the command that was typed, and meets the others in `stages.processes`. How weights lie on
the devices is said by a configuration of accelerate; some come with the package.
"""

import logging
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError

import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def launch(arguments: Sequence[str], processes: int, how: str = "ddp") -> int:
    """Run ``vlm-gym ARGUMENTS`` in so many processes, and give its exit status.

    `how` is the path of a configuration of accelerate, or a name of `shipped`. If a process ends badly, the
    others are ended, too. Raises `KeyboardInterrupt` once all have stopped after Ctrl-C, and `ValueError` for
    what cannot be started.
    """
    path, gpus = _find(how), torch.cuda.device_count()
    if gpus and processes > gpus:
        raise ValueError(
            f"--num-processes {processes} is not possible; a process takes a GPU, of {gpus} here"
        )
    kind = load_config_from_file(str(path)).distributed_type.value
    if kind == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise ValueError(f"{path} takes deepspeed, which is not installed: pip install deepspeed")
    if not gpus and kind != "MULTI_GPU":  # accelerate would start DDP and not say so
        raise ValueError(f"{path} is {kind}, which takes GPUs; without any, say --accelerate ddp")
    options = ["--config_file", path, "--num_processes", processes, "--main_process_port", 0]
    asked = launch_command_parser().parse_args(
        [*map(str, options), "--num_cpu_threads_per_process", _threads(), "-m", "vlm_gym.cli", *arguments]
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what failed says so itself
    try:
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


def shipped() -> dict[str, Path]:
    """List the configurations that come with the package, by name."""
    folder = Path(str(import_module("vlm_gym.configs").__file__)).parent / "accelerate"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _find(how: str) -> Path:
    path = Path(how) if Path(how).is_file() else (known := shipped()).get(how)
    if path is None:
        raise ValueError(
            f"no configuration of accelerate is {how!r}; give a path, or one of {', '.join(known)}"
        )
    return path


def _threads() -> str:
    """Give each process a thread, since two that share a core are many times slower than one."""
    return os.environ.get("OMP_NUM_THREADS", "1")
