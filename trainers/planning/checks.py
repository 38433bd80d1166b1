"""Warnings about a plan: what fails, and what is inefficient."""

from collections.abc import Iterator
from importlib.util import find_spec

from vlm_gym.registry import find

from ..models.families import PictureTokens
from ..recipe import Recipe, Task
from .costs import GB
from .plan import RunPlan, StageCost, memories

GRPO_LIMIT = "grpo.trl.max_completion_length"


def warnings(plan: RunPlan) -> Iterator[str]:
    """Yield a line for everything that is missing, cut, resized, not aligned, not divided, or too large."""
    yield from missing(plan.recipe)
    yield from untaught(plan.recipe)
    for shown in plan.tasks:
        yield from of_pictures(shown.task, shown.cell, shown.aligned, shown.picture)
    yield from _of_lengths(plan)
    for cost in plan.costs:
        yield from _of_batches(plan.recipe, cost)
        yield from _of_memory(plan, cost)
    if plan.model.parameters < 1e8:
        yield "the model is so small that Python overhead dominates: real times are longer"


def missing(recipe: Recipe) -> Iterator[str]:
    """Name packages that the run imports and that are not installed."""
    settings = [stage.trl for stage in (recipe.cold_start, recipe.grpo) if stage is not None]
    needed = ["trl", "accelerate", "datasets", *recipe.trackers]
    if recipe.cold_start is not None and recipe.data.teacher.startswith("openai"):
        needed.append("openai")
    uses_vllm = False
    eight_bit = False
    for trl in settings:
        optimizer = str(trl.get("optim"))
        uses_vllm = uses_vllm or bool(trl.get("use_vllm"))
        eight_bit = eight_bit or "8bit" in optimizer or "bnb" in optimizer
    if uses_vllm:
        needed.append("vllm")
    if eight_bit:
        needed.append("bitsandbytes")
    if recipe.model.lora:
        needed.append("peft")
    for name in needed:
        if find_spec(name) is None:
            yield f"{name} is not installed; pip install {name}"


def untaught(recipe: Recipe) -> Iterator[str]:
    """Name games that a cold start by solvers cannot teach, since they have no thoughts."""
    if recipe.cold_start is None or recipe.data.teacher != "solver":
        return
    for task in recipe.task:
        game = find(task.game)
        if game.think(game.start(0, task.knobs)) is None:
            yield (
                f"{task.game} has no teacher for a cold start: it has no thoughts (Game.think); "
                "choose another data.teacher, or leave out [cold_start]"
            )


def of_pictures(task: Task, cell: int, aligned: bool | None, picture: PictureTokens) -> Iterator[str]:
    """Yield a warning if a visual token shows parts of two cells. Resized pictures alone are no reason."""
    size = task.look.size
    if aligned is False:
        resized = (picture.height, picture.width) != (size, size)
        made = f"the processor makes {picture.height}x{picture.width} of {size}x{size} pixels, and "
        yield (
            f"{task.game}: {made if resized else ''}cells of {cell} pixels do not align with visual tokens; "
            "choose another size"
        )


def _of_lengths(plan: RunPlan) -> Iterator[str]:
    longest_prompt = max(shown.prompt for shown in plan.tasks)
    longest_reply = max(stage.longest_reply for stage in plan.stages)
    for key, limit in _limits(plan.recipe).items():
        if longest_reply > limit:
            yield f"{key}={limit} cuts replies, which have up to {longest_reply} tokens"
        if longest_prompt + limit > plan.model.positions:
            total = f"{longest_prompt} tokens of prompt and {limit} of reply"
            yield f"{key}: {total} are more than the {plan.model.positions} positions of the model"


def _limits(recipe: Recipe) -> dict[str, int]:
    """Return the limits on the length of replies in tokens, by recipe key. TRL's default is 512."""
    limits = {}
    if recipe.grpo is not None and (limit := recipe.grpo.trl.get("max_completion_length", 512)):
        limits[GRPO_LIMIT] = limit
    if recipe.evaluation is not None:
        limits["evaluation.max_tokens"] = recipe.evaluation.max_tokens
    return limits


def _of_batches(recipe: Recipe, cost: StageCost) -> Iterator[str]:
    """Check that a step divides into passes of all devices, and what is drawn for it into whole groups."""
    stage = cost.stage
    gpus = cost.gpus
    if not stage.learns:
        return
    micro = stage.micro or max(1, stage.samples // gpus)
    if stage.samples % (micro * gpus):
        yield (
            f"{stage.name} on {gpus}: {stage.samples} rows a step do not divide into "
            f"per_device_train_batch_size={micro} on each"
        )
    if stage.rows % gpus and stage.replies > 1:
        yield f"{stage.name} on {gpus}: {stage.rows} states do not divide; groups would be split"
    again = recipe.grpo.trl.get("steps_per_generation") if recipe.grpo and stage.generates else None
    if again and again * micro * gpus % stage.replies:
        yield (
            f"{stage.name} on {gpus}: {again * micro * gpus} replies drawn at a time do not divide into "
            f"groups of {stage.replies}"
        )


def _of_memory(plan: RunPlan, cost: StageCost) -> Iterator[str]:
    """Check memory for the replies that are expected, and for the longest that are allowed."""
    room = plan.card.memory * GB
    stage = cost.stage
    smallest = min(each.peak for each in cost.memory.values())
    if smallest > room:
        yield (
            f"{stage.name} on {cost.gpus}: {smallest / GB:.0f} GB on each do not fit into "
            f"{plan.card.memory:.0f} GB"
        )
        return
    limit = _limits(plan.recipe).get(GRPO_LIMIT, 0)
    if stage.generates and stage.learns and limit > stage.longest_reply:
        longer = memories(plan.model, stage.with_replies_of(limit), cost.gpus)
        largest = min(each.peak for each in longer.values())
        if largest > room:
            yield (
                f"{stage.name} on {cost.gpus}: fits for replies of up to {stage.longest_reply} tokens; "
                f"if all had {limit}, it would take {largest / GB:.0f} GB on each"
            )
