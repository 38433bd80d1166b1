"""Benchmark of GRPO against TRL's plain `GRPOTrainer`: same states, model, lengths and settings.

TRL gets what its documentation asks for: a conversational ``prompt`` column, an ``images`` column of pictures
that are drawn before, and a reward function, which grades by the game as ours does. All replies have
`LENGTH` tokens.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple

from datasets import Dataset
from PIL import Image
from rich.table import Table
from transformers import PreTrainedModel, PrinterCallback, ProcessorMixin, Trainer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from vlm_gym.rollouts.policy import Request

from . import settings
from .models import tiny
from .models.transformers_policy import load_model
from .recipe import Grpo, Recipe, Task
from .rewards import grade_completion
from .start_states import StartStates
from .train import hush, reinforce

BENCHMARK_TASK = Task(game="2048", reasoning="level=0,size=3", perception="level=0,size=96", moves=10)
STATES = 12
COMPLETIONS = 8
LENGTH = 64
"""Tokens of a reply."""
STEPS = 5
"""Steps that are timed; one more goes before them."""


class Rate(NamedTuple):
    """The speed of a trainer."""

    name: str
    seconds: tuple[float, ...]
    """Of each step, by the wall clock."""
    busy: tuple[float, ...]
    """The same by the clock of the process, which a busy machine slows down less."""
    rows: int
    """Replies of a step."""
    length: float
    """Mean tokens of a reply."""

    @property
    def step(self) -> float:
        """Return the median seconds of a step."""
        return median(self.seconds)

    @property
    def busy_step(self) -> float:
        """Return the median processor seconds of a step."""
        return median(self.busy)

    @property
    def samples(self) -> float:
        """Return the replies sampled and learned from a second."""
        return self.rows / self.step


class Clock(TrainerCallback):
    """Keeps the times at which each step ended, by the wall clock and by that of the process."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.busy: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Note the times."""
        self.ends.append(perf_counter())
        self.busy.append(process_time())


def time_trainers(steps: int = STEPS) -> list[Rate]:
    """Time our trainer and TRL's for `steps` steps of `STATES` * `COMPLETIONS` replies each, in turn.

    Loading, the first step and saving do not count.
    """
    hush()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = _recipe(steps + 1)
        look = BENCHMARK_TASK.look
        tiny.build_model(
            folder / "model", [(BENCHMARK_TASK.game, BENCHMARK_TASK.reasoning)], recipe.seed, side=look.size
        )
        model, processor = load_model(folder / "model")
        ours = reinforce(recipe, model, processor, _settings(recipe, folder / "ours"))
        model, processor = load_model(folder / "model")
        theirs = _plain(recipe, model, processor, _settings(recipe, folder / "trl"))
        return [_time("vlm-gym", ours), _time("TRL, images column", theirs)]


def rate_table(rates: Sequence[Rate]) -> Table:
    """Lay out rates beside the last one, with the load of the machine."""
    load_average = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    title = (
        f"{STATES} states x {COMPLETIONS} replies of {LENGTH} tokens a step; "
        f"load of the {os.cpu_count()} cores: {load_average}"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("trainer")
    for heading in ("samples a second", "ratio", "seconds a step", "processor seconds", "ratio"):
        table.add_column(heading, justify="right")
    for rate in rates:
        ratio = rate.samples / rates[-1].samples
        busy_ratio = rates[-1].busy_step / rate.busy_step
        cells = [f"{rate.samples:.1f}", f"{ratio:.2f}", f"{rate.step:.2f}"]
        table.add_row(rate.name, *cells, f"{rate.busy_step:.2f}", f"{busy_ratio:.2f}")
    return table


def _recipe(steps: int) -> Recipe:
    # TRL would end replies at a random token. Equal least and greatest lengths make all equally long.
    trl = {
        "num_generations": COMPLETIONS,
        "max_completion_length": LENGTH,
        "generation_kwargs": {"min_new_tokens": LENGTH},
    }
    return Recipe(
        task=(BENCHMARK_TASK,), grpo=Grpo(steps=steps, prompts_per_step=STATES, save=steps, trl=trl)
    )


def _settings(recipe: Recipe, out: Path) -> GRPOConfig:
    """Return the settings of both trainers. What a recipe sets outside them has to be TRL's default."""
    args = settings.grpo(recipe, out)
    assert recipe.grpo is not None
    assert recipe.grpo.scale == args.scale_rewards
    return args


def _plain(
    recipe: Recipe, model: PreTrainedModel, processor: ProcessorMixin, args: GRPOConfig
) -> GRPOTrainer:
    """Make TRL's own trainer on the start states of the recipe."""
    assert recipe.grpo is not None
    starts = StartStates(recipe, recipe.grpo)
    weights = recipe.grpo.weights
    requests: list[Request] = []
    for step in range(recipe.grpo.steps):
        requests += [start.request for start in starts.deal(step)]
    images = list[list[Image.Image]]()  # of each request
    for request in requests:
        images.append([Image.fromarray(frame) for frame in request.pictures()])
    rows = {
        "prompt": [request.messages() for request in requests],
        "images": images,
        "number": list(range(len(requests))),
    }

    def reward(
        completions: Sequence[Sequence[Mapping[str, str]]], number: Sequence[int], **_: object
    ) -> list[float | None]:
        rewards = list[float | None]()
        for index, completion in zip(number, completions, strict=True):
            grade = grade_completion(requests[index], completion[0]["content"])
            rewards.append(grade.reward(weights))
        return rewards

    return GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_dict(rows),
        processing_class=processor,
    )


def _time(name: str, trainer: Trainer) -> Rate:
    """Train to the end, and measure the time between the ends of steps."""
    clock = Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    lengths = list[float]()
    for line in trainer.state.log_history:
        if "loss" in line:
            lengths.append(line["completions/mean_length"])
    return Rate(name, _gaps(clock.ends), _gaps(clock.busy), STATES * COMPLETIONS, fmean(lengths))


def _gaps(times: Sequence[float]) -> tuple[float, ...]:
    return tuple(after - before for before, after in pairwise(times))
