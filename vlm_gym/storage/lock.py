"""Locks between processes: one writer at a time for a file or a folder.

A lock is a hidden file beside the file, or in the folder, that the kernel locks (``flock``). The kernel
drops the lock when its process ends, however it ends: the lock of a dead process is free, and its hidden
file, which names the holder, is overwritten by the next one.
"""

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname

from vlm_gym.masking import masked

_LONGEST = 200
"""Characters of a command that are reported."""

log = logging.getLogger(__name__)

_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


class InUse(ValueError):
    """Another command writes to the file or the folder. The message reports which one."""


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file, which need not exist; its folder is created.

    Two names of one file (symbolic links) share a lock. What is no regular file, such as ``/dev/null``, needs
    none. If another holder has the lock, `wait` until it is free, or raise `InUse`.
    """
    real = Path(os.path.realpath(path))
    if real.exists() and not real.is_file():
        yield
        return
    real.parent.mkdir(parents=True, exist_ok=True)
    with _lock(real.with_name(f".{real.name}.lock"), path, wait):
        yield


@contextmanager
def locked_folder(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which is created. Otherwise as `locked`."""
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / ".lock", folder, wait):
        yield


@contextmanager
def _lock(lock_file: Path, path: Path, wait: bool) -> Iterator[None]:
    """Hold the lock file at `lock_file`, which guards `path`."""
    process = os.getpid()
    descriptor = _acquire(lock_file, path, wait)
    _held.add(descriptor)
    # On a full disk the lock is still held, but its file does not name the holder.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(_myself()).encode())
    try:
        yield
    finally:
        if os.getpid() == process:  # a forked child has closed its copy and holds nothing
            # Removed while it is held, so that no lock of another process is removed. A leftover is harmless.
            with suppress(OSError):
                lock_file.unlink()
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(lock_file: Path, path: Path, wait: bool) -> int:
    """Open and lock the file at `lock_file`. Return its descriptor."""
    while True:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(descriptor, path, wait)
            current = _is_at(descriptor, lock_file)
        except BaseException:  # Ctrl-C while waiting as well
            os.close(descriptor)
            raise
        if current:
            return descriptor
        os.close(descriptor)  # its last holder has removed it in the meantime


def _flock(descriptor: int, path: Path, wait: bool) -> None:
    try:
        import fcntl
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "vlm-gym writes files on Linux and macOS only: this Python has no fcntl. On Windows, use WSL."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        if not wait:
            raise InUse(f"{path} is in use by {holder}; wait for its end, or choose another") from error
        log.warning("%s is in use by %s; waiting for its end", path, holder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        message = f"this file system cannot lock files ({error.strerror})"
        raise OSError(error.errno, message, str(path)) from error


def _is_at(descriptor: int, path: Path) -> bool:
    """Check whether the file that is open is the file that is at `path` now."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), status)


def _myself() -> dict[str, str | int]:
    """Describe this process for others: its number, its host and its command, without credentials."""
    program, *arguments = sys.argv or [""]
    name = "vlm-gym" if program.endswith("__main__.py") else Path(program).name
    command = masked(shlex.join([name, *arguments]))
    return {"pid": os.getpid(), "host": gethostname(), "command": command[:_LONGEST]}


def _holder(descriptor: int) -> str:
    """Describe the process that has written the lock file."""
    try:
        holder = json.loads(os.pread(descriptor, 1 << 14, 0))
        return f"process {holder['pid']} on {holder['host']} ({holder['command']})"
    except (OSError, ValueError, TypeError, KeyError):  # it has not written yet, or the disk was full
        return "another process"


def _close_all() -> None:
    """Close the copies of locks in a forked child: the lock ends with the process that took it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)
