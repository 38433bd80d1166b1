"""The first module that the command imports: during imports, Ctrl-C ends it without a traceback.

A program that imports the package keeps its own handling of Ctrl-C. This module imports no more than it
needs, since its imports can be interrupted, too.
"""

import signal
import sys


def _is_command() -> bool:
    """Return whether this process was started as the command, not by a program that imports the package."""
    if not sys.argv:
        return False
    if sys.argv[0] == "-m":  # the module of ``python -m`` is not known yet
        arguments = sys.orig_argv
        return "vlm_gym.cli" in arguments[arguments.index("-m") + 1 :][:1]
    name = sys.argv[0].replace("\\", "/").rpartition("/")[2]
    return name.removesuffix(".exe") == "vlm-gym"


# Shells make background jobs ignore SIGINT. This is kept.
COMMAND = _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""Whether this process is the command, and handles SIGINT."""


def end_quietly() -> None:
    """Restore the default action of SIGINT. Ctrl-C ends the command at once; there is no cleanup."""
    if COMMAND:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


end_quietly()
