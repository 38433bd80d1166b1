"""The server of games for OpenEnv, started as it cannot be: it ends, and one line says why."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openenv", reason="needs openenv: `make test-adapters`")

pytestmark = [pytest.mark.adapters, pytest.mark.slow]
SERVER = ("-m", "vlm_gym.adapters.openenv.server")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--game", "2049"], "did you mean '2048'"),
        (["--perception", "9"], "unknown perception level"),
        (["--port", "65536"], "65536 is no port"),
        (["--sessions", "0"], "0 is too few"),
    ],
)
def test_a_server_that_cannot_be_does_not_start(options, words):
    done = subprocess.run([sys.executable, *SERVER, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_port_that_is_taken_is_told_without_a_traceback():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, *SERVER, "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("row", "words"),
    [("{", "not JSON"), ("[1]", "a list of 1 entries is no object"), ('{"game": "2049"}', "mean '2048'")],
)
def test_the_package_for_the_hub_ends_in_one_line_for_a_row_that_cannot_be_played(row, words, tmp_path):
    (tmp_path / "vlm_gym_env").symlink_to(Path(__file__).parents[1] / "integrations" / "openenv")
    command = [sys.executable, "-m", "vlm_gym_env.server.app", "--help"]
    environment = {**os.environ, "VLM_GYM_ROW": row, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("VLM_GYM_ROW: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
