"""Every package under `integrations/` installs into a clean environment, with all that it says it needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from endpoints import said
from serving import served

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.adapters, pytest.mark.slow, pytest.mark.long]


def run(*command, cwd, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {name: str(value) for name, value in variables.items()}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory, pytestconfig):
    """A folder with our own wheel, in the place of a package index that has it."""
    if "adapters" not in pytestconfig.getoption("markexpr"):
        pytest.skip("installs gigabytes in some minutes: `make test-adapters`")
    checkout = tmp_path_factory.mktemp("checkout") / "vlm-gym"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, checkout, cwd=folder)
    return folder


@pytest.fixture
def install(wheels, tmp_path):
    """Install a package into a clean environment, and return the folder of its programs."""

    def make(name):
        # In a folder of its own, since a folder named as a library would hide it from what starts beside it.
        package = shutil.copytree(ROOT / "integrations" / name, tmp_path / "packages" / name)
        run(sys.executable, "-m", "venv", tmp_path / "clean", cwd=tmp_path)
        programs = tmp_path / "clean" / "bin"
        run(programs / "pip", "install", "--quiet", "--find-links", wheels, package, cwd=tmp_path)
        return programs

    return make


def test_the_package_for_openenv_is_found_by_name_validates_and_serves(install, tmp_path, monkeypatch):
    programs = install("openenv")
    found = "from openenv import AutoAction, AutoEnv; import vlm_gym_env as ours; " + "; ".join(
        [
            "assert AutoEnv.get_env_class('vlm_gym') is ours.VlmGymEnv",
            "assert AutoAction.from_env('vlm_gym') is ours.VlmGymAction",
            "from vlm_gym_env.server.app import app",
            "print(app.title)",
        ]
    )
    # The library remembers in a cache of the user what was installed in other environments.
    assert "OpenEnv" in run(programs / "python", "-c", found, cwd=tmp_path, XDG_CACHE_HOME=tmp_path / "cache")
    verdict = run(programs / "openenv", "validate", "--skip-build", cwd=tmp_path / "packages" / "openenv")
    assert "PASS  static.manifest" in verdict
    assert "FAIL" not in verdict
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    # Not in this checkout, whose packages would hide those that are installed.
    with served(["-m", "vlm_gym_env.server.app"], "/health", tmp_path / "log", tmp_path) as running:
        script = ROOT / "examples" / "openenv_play.py"
        played = run(programs / "python", script, "--url", running.url, "--steps", 2, cwd=tmp_path)
    assert "played 2 turns" in played


def test_the_package_for_verifiers_is_found_by_name_and_evaluates(install, endpoint, tmp_path):
    programs = install("verifiers")
    server = endpoint(lambda body: said("<answer>left</answer>"))
    options = ["-n", "2", "--model", "m", "--client.base-url", server.url, "--no-push", "--no-rich"]
    turns = ["--env.taskset.turns", "2", "--output-dir", tmp_path / "runs", "--run.name", "run"]
    run(programs / "vf-eval", "vlm-gym-games", *options, *turns, cwd=tmp_path)
    traces = (tmp_path / "runs" / "run" / "traces.jsonl").read_text().splitlines()
    assert len(traces) == 2
    assert len(server.asked) == 4
