"""Libraries of others that the adapters need: installed or not, and in which version."""

import warnings
from importlib.metadata import PackageNotFoundError, version


def check_library(name: str, tried: str, extra: str) -> None:
    """Check that a library is installed, before its adapter imports it.

    Raises `ModuleNotFoundError` of one line that names the pip command. Warns, with both versions, if the
    library has another version than the one that the adapter was tried with.
    """
    try:
        found = version(name)
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            f'this adapter needs {name}, an extra: pip install "vlm-gym[{extra}]"', name=name
        ) from None
    if found != tried:
        # The frames between are this one, the adapter's package and the import system.
        warnings.warn(f"{name} {found} is installed; the adapter was tried with {name} {tried}", stacklevel=3)
