"""Adapters whose library is missing, or has another version than the one tried: one line, or a warning."""

import subprocess
import sys
import warnings
from importlib.metadata import version

import pytest

from vlm_gym.adapters.libraries import check_library


@pytest.mark.parametrize(("module", "library", "extra"), [("skyrl", "skyrl-gym", "skyrl")])
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


def test_another_version_than_the_one_tried_is_a_warning_with_both():
    installed = version("numpy")
    with pytest.warns(UserWarning, match=rf"numpy {installed} is installed; .* tried with numpy 0\.1\.0"):
        check_library("numpy", "0.1.0", "train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_library("numpy", installed, "train")
