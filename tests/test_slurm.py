"""The script for Slurm, run by bash: two nodes of this machine, whose `srun` and `scontrol` are stand-ins."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from test_processes import ALL, PATIENCE, TEXT, steps

SCRIPT = Path(__file__).parents[1] / "configs/slurm/train.sbatch"
COMMANDS = {
    "scontrol": 'printf "%s\\n" localhost localhost',
    "srun": """
while [[ $1 == --* ]]; do shift; done  # its own options
SLURM_NODEID=1 "$@" & other=$!
SLURM_NODEID=0 "$@" && wait $other
""",
}
"""What Slurm has itself. All that these do of it: a task on each node, which is told which one it is."""


def job(folder: Path, commands: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script as a job on two nodes that has these commands."""
    for name, text in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    slurm = {
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_CPUS_ON_NODE": "96",
    }
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", SCRIPT, *map(str, arguments)],
        env={**os.environ, **slurm, "ACCELERATE": "ddp", "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_bash_can_read_the_script():
    subprocess.run(["bash", "-n", SCRIPT], check=True)


def test_the_processes_of_a_node_have_all_of_its_cores(tmp_path):
    asked = re.findall(r"^#SBATCH --(\S+)", SCRIPT.read_text(), re.M)
    assert {"exclusive", "mem=0", "ntasks-per-node=1"} <= set(asked)
    done = job(tmp_path, COMMANDS | {"srun": 'printf "%s\\n" "$@"'})
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    ours = told[: told.index("bash")]
    assert {"--cpus-per-task=96", "--cpu-bind=none"} <= set(ours)


def test_however_many_nodes_there_are_the_first_one_is_where_processes_meet(tmp_path):
    done = job(tmp_path, {"scontrol": "seq --format node%g 100000", "srun": 'printf "%s\\n" "$@"'})
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[told.index("--main_process_ip") + 1] == "node1"


@pytest.mark.slow
@pytest.mark.long
def test_a_job_on_two_nodes_is_one_run(talker, tmp_path):
    config = tmp_path / "small.toml"
    config.write_text(TEXT.replace("MODEL", str(talker)))
    done = job(tmp_path, COMMANDS, config, "-o", tmp_path / "run", "--set", "grpo.steps=1")
    assert done.returncode == 0, done.stderr
    assert steps(tmp_path / "run") == ALL[:7]
    assert json.loads((tmp_path / "run/run.json").read_text())["processes"] == 2
