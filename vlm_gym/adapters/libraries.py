"""Libraries of others that the adapters need: installed or not, and in which version."""

import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

_PROGRAMS = ("vlm_gym.adapters.", "vlm_gym_env.")
"""Where the modules are that people start by ``python -m``."""


def check_library(name: str, tried: str, extra: str) -> None:
    """Check that a library is installed, before its adapter imports it.

    Raises `ModuleNotFoundError` of one line that names the pip command. A module of ours that was started by
    ``python -m`` ends with that line alone, by `SystemExit`. Warns, with both versions, if the library has
    another version than the one that the adapter was tried with.
    """
    try:
        installed = version(name)
    except PackageNotFoundError:
        message = f'this adapter needs {name}, an extra: pip install "vlm-gym[{extra}]"'
        if _is_program():
            raise SystemExit(message) from None
        raise ModuleNotFoundError(message, name=name) from None
    if installed != tried:
        # The frames between are this one, the adapter's package and the import system.
        message = f"{name} {installed} is installed; the adapter was tried with {name} {tried}"
        warnings.warn(message, stacklevel=3)


def _is_program() -> bool:
    """Return whether this process was started as one of our modules, not by a program that imports one."""
    # Not `sys.argv`, which does not name the module while its package is imported.
    arguments = sys.orig_argv
    if "-m" not in arguments:
        return False
    module = arguments[arguments.index("-m") + 1 :][:1]  # empty without a name
    return bool(module) and module[0].startswith(_PROGRAMS)
