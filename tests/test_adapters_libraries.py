"""Adapters whose library is missing end in one line."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

LIBRARIES = {"openenv": "openenv", "skyrl": "skyrl-gym", "verifiers": "verifiers", "verl": "verl"}


def skip_if_installed(library):
    try:
        version(library)
    except ModuleNotFoundError:
        return
    pytest.skip(f"{library} is installed here")


@pytest.mark.parametrize(("module", "library"), LIBRARIES.items())
def test_an_adapter_without_its_library_names_the_pip_command(module, library):
    skip_if_installed(library)
    command = [sys.executable, "-c", f"import vlm_gym.adapters.{module}"]
    done = subprocess.run(command, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert (
        last
        == f'ModuleNotFoundError: this adapter needs {library}, an extra: pip install "vlm-gym[{module}]"'
    )


@pytest.mark.adapters
@pytest.mark.parametrize(("module", "library"), [*LIBRARIES.items(), ("trl", "trl")])
def test_another_version_than_the_one_tried_is_one_warning_with_both(module, library):
    try:
        installed = version(library)
    except PackageNotFoundError:
        pytest.skip(f"{library} is not installed here")
    newer = f"""
import importlib.metadata, types
found = importlib.metadata.version
importlib.metadata.version = lambda name: "9.9" if name == {library!r} else found(name)
import vlm_gym.adapters.{module} as adapter
if {module!r} == "trl":  # whose classes of games need no TRL
    adapter.check(types.SimpleNamespace(_environment_pool={{}}))
"""
    done = subprocess.run([sys.executable, "-c", newer], capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if "9.9" in line]
    assert f"{library} 9.9 is installed; the adapter was tried with {library} {installed}" in line


@pytest.mark.parametrize(
    "program",
    ["openenv.server", "openenv.client", "openenv", "skyrl", "verifiers", "verifiers.harness", "verl"],
)
def test_a_program_without_its_library_ends_in_one_line(program):
    module = program.partition(".")[0]
    library = LIBRARIES[module]
    skip_if_installed(library)
    command = [sys.executable, "-m", f"vlm_gym.adapters.{program}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f'this adapter needs {library}, an extra: pip install "vlm-gym[{module}]"\n'
