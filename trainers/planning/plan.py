"""The plan of a recipe: shapes, tokens, memory and time. No weights are loaded.

Pictures and texts are measured on positions of the recipe's own games. `model_shapes` counts the tokens,
`costs` has the formulas, and `checks` the warnings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import fmean
from typing import TypedDict

import torch

from vlm_gym.game import Game, State
from vlm_gym.prompt import solution, target
from vlm_gym.registry import find
from vlm_gym.render import layout_of
from vlm_gym.rollouts.states import sample
from vlm_gym.scene import Scene

from ..models.families import PictureTokens
from ..recipe import ColdStart, Grpo, Model, Recipe, Shares, Task
from .context_length import lost_turns
from .costs import Card, Memory, Stage, Time, card, duration, memory
from .model_shapes import ModelShape, TokenCounter, read_shape

SAMPLED_POSITIONS = 32
"""Of each task, to which the solver replies."""


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """A task as the model meets it."""

    task: Task
    rows: int
    cols: int
    cell: int
    """Pixels."""
    picture: PictureTokens
    aligned: bool | None
    """Whether every visual token shows one cell alone; None if what a token shows is unknown."""
    prompt: int
    """Tokens, visual ones among them."""
    reply: float
    """Mean tokens of the solver's replies."""
    longest: int
    thought: float | None
    """Mean tokens of the game's thoughts; None for a game without thoughts."""


STRATEGIES = {"all": False, "parts": True}
"""What each device has of the weights: DDP gives it all of them, ZeRO-3 and FSDP2 a part."""


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What a stage takes on so many devices."""

    stage: Stage
    gpus: int
    memory: Mapping[str, Memory]
    """On each device, by what it has of the weights; one entry where there is nothing to choose."""
    time: Time
    """Of a step."""

    @property
    def hours(self) -> float:
        """Of the whole stage."""
        return sum(self.time) * self.stage.steps / 3600


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The plan of a run, with its stages in order."""

    recipe: Recipe
    model: ModelShape
    exact: bool
    """Whether tokens of words were counted, or estimated."""
    tasks: tuple[PlannedTask, ...]
    stages: tuple[Stage, ...]
    card: Card
    utilisation: float
    costs: tuple[StageCost, ...]


def plan(
    recipe: Recipe,
    gpus: Sequence[int] = (1,),
    card_name: str | None = None,
    room: float | None = None,
    utilisation: float = 0.4,
    reply: int | None = None,
) -> RunPlan:
    """Plan a run on so many devices of one kind, for each number in `gpus`.

    `card_name` is one of `costs.CARDS`; by default the CPU for a tiny model where there is no GPU, else an
    H100. `room` is the memory of each in GB, if not that of the data sheet; `reply` the tokens of replies, if
    not the solver's. Raises `ValueError` for what no run could start with.
    """
    if not gpus or min(gpus) < 1:
        raise ValueError(f"gpus={list(gpus)} is not possible; a run takes 1 or more")
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation={utilisation} is not possible; it is above 0 and at most 1")
    _check_trl(recipe)
    card_name = card_name or ("cpu" if recipe.model.is_tiny and not torch.cuda.is_available() else "h100")
    device = card(card_name) if room is None else card(card_name)._replace(memory=room)
    shape, reader = read_shape(recipe.model, recipe.task)
    tasks = tuple(_show(task, reader, recipe) for task in recipe.task)
    stages = tuple(_stages(recipe, tasks, card_name != "cpu"))
    if reply is not None:
        stages = tuple(stage.with_replies_of(reply) for stage in stages)
    costs = list[StageCost]()
    for stage in stages:
        if not stage.learns and not stage.generates:
            continue
        for count in [stage.devices] if stage.devices else gpus:
            memory = memories(shape, stage, count)
            time = duration(shape, stage, device, count, utilisation)
            costs.append(StageCost(stage=stage, gpus=count, memory=memory, time=time))
    return RunPlan(
        recipe=recipe,
        model=shape,
        exact=reader.exact,
        tasks=tasks,
        stages=stages,
        card=device,
        utilisation=utilisation,
        costs=tuple(costs),
    )


def memories(shape: ModelShape, stage: Stage, gpus: int) -> dict[str, Memory]:
    """Estimate the memory of every strategy that so many devices can choose from."""
    by_strategy = dict[str, Memory]()
    for name, sharded in STRATEGIES.items():
        if gpus > 1 or not sharded:
            by_strategy[name] = memory(shape, stage, gpus, sharded)
    return by_strategy


def _show(task: Task, reader: TokenCounter, recipe: Recipe) -> PlannedTask:
    """Measure a task: the solver's replies to sampled positions, one prompt and one picture."""
    game = find(task.game)
    states = list[State]()
    texts = list[str]()
    replies = list[int]()  # tokens
    thoughts = list[int]()  # tokens
    for position in sample(SAMPLED_POSITIONS, [task.mixture(Shares())], recipe.seed):
        state = position.state
        text = solution(game, state) or _guess(game, state)
        thought = game.think(state)
        states.append(state)
        texts.append(text)
        replies.append(reader.reply(text))
        if thought is not None:
            thoughts.append(reader.reply(thought.words) - 1)  # without the token that ends a reply
    request = task.request(states[0])
    scene = game.scene(states[0])
    picture = reader.look(request)
    cell, aligned = fit(task, scene, picture)
    past = lost_turns(recipe.context, game, states[0], texts[0])
    return PlannedTask(
        task=task,
        rows=scene.rows,
        cols=scene.cols,
        cell=cell,
        picture=picture,
        aligned=aligned,
        prompt=reader.prompt(request._replace(past=past)),
        reply=fmean(replies),
        longest=max(replies),
        thought=fmean(thoughts) if thoughts else None,
    )


def _guess(game: Game, state: State) -> str:
    """Write a reply with the first legal action, where no solver gives a better one."""
    action = game.legal(state)[0]
    return target(game.scene(state), action, action)


def fit(task: Task, scene: Scene, picture: PictureTokens) -> tuple[int, bool | None]:
    """Measure the cells of a picture in pixels, and whether each of its visual tokens shows one cell alone.

    The latter is None if it is unknown. In resized pictures, too, edges of cells may lie between tokens.
    """
    size = task.look.size
    layout = layout_of(scene, task.look)
    if picture.across is None:
        return layout.side, None
    for pixels in (layout.side, *layout.corner):
        if pixels * picture.across % size:  # an edge of cells lies inside a token
            return layout.side, False
    return layout.side, True


class StageLengths(TypedDict):
    """The lengths of a stage in tokens, by the names of `Stage`."""

    prompt: float
    reply: float
    longest_prompt: int
    longest_reply: int


class StageMemory(TypedDict):
    """What the memory of training depends on, by the names of `Stage`."""

    micro: int | None
    recomputes: bool
    weight: int
    moments: int
    muon: bool


def _stages(recipe: Recipe, tasks: Sequence[PlannedTask], gpu: bool) -> Iterator[Stage]:
    """List the stages of a run."""
    weights = [shown.task.weight for shown in tasks]
    prompts = [shown.prompt for shown in tasks]
    lengths: StageLengths = {
        "prompt": fmean(prompts, weights),
        "reply": fmean([shown.reply for shown in tasks], weights),
        "longest_prompt": max(prompts),
        "longest_reply": max(shown.longest for shown in tasks),
    }
    cold = recipe.cold_start
    grpo = recipe.grpo
    measure = recipe.evaluation
    if cold is not None:
        rows = recipe.data.rows
        passes = cold.trl.get("num_train_epochs", 1)
        yield Stage(name="data", steps=1, rows=rows, **lengths)
        yield Stage(
            name="cold start",
            steps=cold.steps or max(1, round(passes * -(-rows // cold.batch))),
            rows=cold.batch,
            learns=True,
            **_training(cold, recipe.model, gpu),
            **lengths,
        )
    if grpo is not None:
        vllm = bool(grpo.trl.get("use_vllm"))
        remote = grpo.trl.get("vllm_mode") == "server"
        yield Stage(
            name="GRPO",
            steps=grpo.steps,
            rows=grpo.prompts_per_step,
            replies=_group(grpo),
            learns=True,
            generates=True,
            reference=grpo.trl.get("beta", 0.0) > 0,
            full_logits=False,
            remote=vllm and remote,
            engine=grpo.trl.get("vllm_tensor_parallel_size", 1) if vllm and not remote else 0,
            sleeps=grpo.trl.get("vllm_enable_sleep_mode", False),
            **_training(grpo, recipe.model, gpu),
            **lengths,
        )
    if measure is not None:
        turns = sum(measure.turns or shown.task.knobs.turns for shown in tasks)
        models = 1 + (grpo is not None)  # GRPO is measured before and after
        replies = measure.episodes * turns * models * len(measure.temperatures)
        yield Stage(
            name="evaluation",
            steps=-(-replies // measure.batch),
            rows=measure.batch,
            generates=True,
            devices=1,
            **lengths,
        )


def _training(stage: ColdStart | Grpo, model: Model, gpu: bool) -> StageMemory:
    """Read from the settings what memory depends on. Adapters learn beside half-precision checkpoints."""
    half = model.dtype == "bfloat16" or (model.dtype == "auto" and model.lora)
    weight = 2 if half else 4
    muon = stage.optimizer != "adamw"  # `trl.optim` is ignored then
    optimizer = str(stage.trl.get("optim", ""))
    eight_bit = not muon and ("8bit" in optimizer or "bnb" in optimizer)
    return {
        "micro": stage.trl.get("per_device_train_batch_size"),
        "recomputes": stage.trl.get("gradient_checkpointing", gpu),
        "weight": weight,
        "moments": 2 if eight_bit else 2 * weight,
        "muon": muon,
    }


def _group(grpo: Grpo) -> int:
    """Return the number of completions a prompt. TRL's default is 8."""
    return int(grpo.trl.get("num_generations", 8))


def _check_trl(recipe: Recipe) -> None:
    """Check what goes to TRL, where it is installed."""
    if find_spec("trl") is None:
        return
    from ..settings import passed_on

    for stage in (recipe.cold_start, recipe.grpo):
        if stage is not None:
            passed_on(stage)
