"""A recipe of a few seconds, and runs of it in this process."""

from pathlib import Path

from talking import LENGTH
from trainings import TASKS, numbers
from vlm_gym.trainers.recipe import load_recipe
from vlm_gym.trainers.train import train

TEXT = f"""
about = "a test"
threads = 1
{TASKS}weight = 2

[model]
path = "MODEL"

[data]
rows = 12

[cold_start]
batch = 4
steps = 6
save = 2

[cold_start.trl]
learning_rate = 1e-5

[grpo]
steps = 6
prompts_per_step = 4
save = 2
episodes = 1
reward = "progress"
scale = "game"
dynamic_sampling = 1

[grpo.shares]
walk = 0.5
on_policy = 0.5

[grpo.trl]
num_generations = 4
max_completion_length = {LENGTH}
learning_rate = 1e-3
lr_scheduler_type = "constant"

[evaluation]
episodes = 2
turns = 3
temperatures = [0.0]
max_tokens = {LENGTH}
"""

ALL = [("cold_start", step) for step in range(1, 7)] + [("grpo", step) for step in range(1, 7)]
"""The steps of a whole run."""


def write_recipe(folder: Path, talker: Path) -> Path:
    """Write the recipe, which starts from a model that can answer already."""
    path = folder / "small.toml"
    path.write_text(TEXT.replace("MODEL", str(talker)))
    return path


def run(config: Path, out: Path, *changes: str, resume: bool = False) -> Path:
    """Train by a recipe with changes. Return the folder of the run."""
    return train(load_recipe(config, changes), out, resume, "vlm-gym train").parent


def steps(out: Path) -> list[tuple[str, int]]:
    """List the steps of a run by stage, as its log has them."""
    return [(line["stage"], line["step"]) for line in numbers(out)]
