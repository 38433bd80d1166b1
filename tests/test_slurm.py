"""The script for Slurm, run by bash: two nodes of this machine, whose `srun` and `scontrol` are stand-ins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from talking import build_talker
from test_processes import ALL, PATIENCE, TEXT, steps

SCRIPT = Path(__file__).parents[1] / "configs/slurm/train.sbatch"
COMMANDS = {
    "scontrol": 'printf "%s\\n" localhost localhost',
    "srun": """
shift  # its one option
SLURM_NODEID=1 "$@" & other=$!
SLURM_NODEID=0 "$@" && wait $other
""",
}
"""What Slurm has itself. All that these do of it: a task on each node, which is told which one it is."""


def test_bash_can_read_the_script():
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.slow
@pytest.mark.long
def test_a_job_on_two_nodes_is_one_run(tmp_path):
    config = tmp_path / "small.toml"
    config.write_text(TEXT.replace("MODEL", str(build_talker(tmp_path / "talker"))))
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "localhost", "SLURM_NNODES": "2", "SLURM_JOB_ID": str(os.getpid())}
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", SCRIPT, config, "-o", tmp_path / "run", "--set", "grpo.steps=1"],
        env={**os.environ, **slurm, "ACCELERATE": "ddp", "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert steps(tmp_path / "run") == ALL[:7]
    assert json.loads((tmp_path / "run/run.json").read_text())["processes"] == 2
