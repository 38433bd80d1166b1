"""A small recipe, and requests, for models of every family."""

from dataclasses import replace

from vlm_gym.trainers.recipe import ColdStart, Data, Grpo, Model, Recipe, Shares, Task

from vlm_gym.registry import find
from vlm_gym.rollouts.policy import PastTurn, Request

TASKS = tuple(
    Task(game=game, reasoning="0", perception="level=0,size=128", moves=4) for game in ("2048", "swap")
)
GROUP, STATES, LENGTH = 2, 2, 8


def recipe(model: Model | None = None, **trl) -> Recipe:
    own = {"num_generations": GROUP, "max_completion_length": LENGTH, "learning_rate": 1e-3, **trl}
    return Recipe(
        model=model or Model(),
        threads=1,
        task=TASKS,
        data=Data(rows=4, shares=Shares(walk=1.0)),
        cold_start=ColdStart(batch=2, steps=2, save=2, trl={"learning_rate": 1e-3}),
        grpo=Grpo(steps=1, prompts_per_step=STATES, save=1, trl=own),
    )


def asked(seed: int = 0, task: Task = TASKS[0], turns: int = 0, size: int = 128) -> Request:
    now = replace(task, perception=f"level=0,size={size}").request(find(task.game).start(seed, task.knobs))
    past = PastTurn(find(task.game).start(seed + 50, task.knobs), "<answer>left</answer>", "Nothing moved.")
    return now._replace(past=(past,) * turns)
