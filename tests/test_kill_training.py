"""A run of LLaVA that is killed at random moments and resumed leaves the numbers of one that is not."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from trainings import TASKS, begin, numbers

pytest.importorskip("trl", reason="the extra `train` is not installed")

MOMENTS = 15
SEED = 18
STEPS = {"cold_start": 24, "grpo": 16}
PATIENCE = 600
"""Seconds that a command may take on a busy machine."""

TEXT = f"""
threads = 1
{TASKS}
[model]
family = "llava"
width = 64
depth = 1

[data]
rows = 96

[cold_start]
batch = 4
steps = {STEPS["cold_start"]}
save = 4
optimizer = "muon"
trl = {{ learning_rate = 1e-2 }}

[grpo]
steps = {STEPS["grpo"]}
prompts_per_step = 2
save = 3
episodes = 2
reward = "progress"
anchor = {{ weight = 0.5 }}
shares = {{ walk = 0.5, on_policy = 0.5 }}

[grpo.trl]
num_generations = 4
max_completion_length = 24
learning_rate = 1e-3
"""


def kill_after(process: subprocess.Popen[str], out: Path, count: int, delay: float) -> None:
    """Kill a run by SIGKILL so many seconds after it has logged so many steps."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and len(numbers(out)) < count and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.faults
def test_llava_that_is_killed_at_15_random_moments_has_the_numbers_of_an_undisturbed_run(tmp_path):
    config = tmp_path / "llava.toml"
    config.write_text(TEXT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = begin(config, whole)
    _, words = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, words
    chance = random.Random(SEED)
    counts = sorted(chance.randrange(sum(STEPS.values())) for _ in range(MOMENTS))
    returned = []
    for number, count in enumerate(counts):
        process = begin(config, killed, *(["--resume"] if number else []))
        # Where no step is waited for, the moment may be one of the imports or of the data.
        kill_after(process, killed, count, chance.uniform(0, 12 if count == 0 else 1))
        returned.append(process.returncode)
    assert returned == [-signal.SIGKILL] * MOMENTS
    last = begin(config, killed, "--resume")
    _, words = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, words
    assert len(numbers(whole)) == sum(STEPS.values())
    for after, before in zip(numbers(killed), numbers(whole), strict=True):
        assert after == before
