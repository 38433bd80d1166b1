"""Adapters whose library is missing end in one line."""

import subprocess
import sys
from importlib.metadata import version

import pytest


@pytest.mark.parametrize(
    ("module", "library", "extra"), [("skyrl", "skyrl-gym", "skyrl"), ("verl", "verl", "verl")]
)
def test_an_adapter_without_its_library_names_the_pip_command(module, library, extra):
    try:
        version(library)
    except ModuleNotFoundError:
        pass
    else:
        pytest.skip(f"{library} is installed here")
    command = [sys.executable, "-c", f"import vlm_gym.adapters.{module}"]
    done = subprocess.run(command, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert (
        last == f'ModuleNotFoundError: this adapter needs {library}, an extra: pip install "vlm-gym[{extra}]"'
    )
