"""Servers that tests start as people do: a process of its own, on a free port of this machine."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple
from urllib.request import urlopen

PATIENCE = 300.0
"""Seconds in which a server answers, on a machine with much else to do."""


class Served(NamedTuple):
    """A server that runs."""

    url: str
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def served(command: Sequence[str], health: str, log: Path, folder: Path | None = None) -> Iterator[Served]:
    """Run a module with ``--port``, in a folder, until its health answers, and end it after the block."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)], stdout=output, stderr=output, cwd=folder
        )
        try:
            _wait(process, f"{url}{health}", log)
            yield Served(url, port, process)
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = monotonic() + PATIENCE
    while monotonic() < end and process.poll() is None:
        try:
            urlopen(address, timeout=5).close()
        except OSError:
            sleep(0.2)
        else:
            return
    raise AssertionError(f"{address} does not answer: {log.read_text()}")
