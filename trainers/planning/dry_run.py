"""Checks before a run: two samples of every task are encoded as in training, so that errors show at once.

No weights are loaded: the number of visual tokens follows from the configuration of a model.
"""

import logging
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jinja2 import TemplateError
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig, ProcessorMixin

from vlm_gym.episode import deal
from vlm_gym.prompt import solution, target
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Request

from ..models.families import FAMILIES
from ..models.prepare import frozen, lora_config
from ..models.processors import apply_template, load_processor, written
from ..models.transformers_policy import encode_requests
from ..recipe import Recipe, Task
from . import context_length
from .checks import missing, of_pictures, untaught
from .model_shapes import TokenCounter
from .plan import fit

LOG = logging.getLogger(__name__)
SAMPLES = 2
_DEALS = 50
"""Held-out deals that are looked at, at most."""


class Sample(NamedTuple):
    """The first requests of a task."""

    task: Task
    requests: list[Request]


def check_loadable(recipe: Recipe, path: Path, longest: int) -> None:
    """Check that a recipe can run on the model at a path.

    `longest` is the limit of GRPO's replies in tokens. Raises `ValueError` with one line that says what to
    do. Logs a warning for settings that are possible, but unwise.
    """
    for warning in (*missing(recipe), *untaught(recipe)):
        raise ValueError(warning)
    try:
        config = AutoConfig.from_pretrained(path)
        processor = load_processor(path, **recipe.model.pictures)
    except (OSError, ValueError, KeyError) as error:
        cause = str(error).strip().splitlines()[0]
        raise ValueError(f"no vision-language model can be read from {str(path)!r}: {cause}") from error
    _ = frozen(recipe.model, config.model_type), lora_config(recipe.model, config.model_type)
    if config.model_type not in FAMILIES:
        LOG.warning("%s is a %s, a family that has not been tested", path, config.model_type)
    if recipe.cold_start:
        _check_ends(processor, path)
    if recipe.evaluation:
        for task in recipe.task:
            _check_held_out(task, min(recipe.evaluation.episodes, _DEALS))
    samples = list(map(_sample, recipe.task))
    remote = recipe.grpo is not None and recipe.grpo.trl.get("vllm_mode") == "server"
    for sample in samples:
        _check_pictures(config, processor, sample.requests, path)
        if recipe.context.count(find(sample.task.game)):
            _check_past_pictures(config, processor, _with_past(recipe, sample.requests), path)
        if remote:
            _check_placeholders(processor, sample.requests, path)
    context_length.check_context(recipe, path, longest)
    reader = TokenCounter(config, processor.image_processor, processor)
    positions = context_length.context_length(config)
    for sample in samples:
        task = sample.task
        first = sample.requests[0]
        picture = reader.look(first)
        cell, aligned = fit(task, first.game.scene(first.state), picture)
        for warning in of_pictures(task, cell, aligned, picture):
            LOG.warning(warning)
        if recipe.cold_start:
            _check_length(task, _with_past(recipe, sample.requests), reader, positions, path)


def _sample(task: Task) -> Sample:
    """Make the first requests of a task."""
    requests = list[Request]()
    for seed in range(SAMPLES):
        requests.append(task.request(find(task.game).start(seed, task.knobs)))
    return Sample(task, requests)


def _with_past(recipe: Recipe, requests: Sequence[Request]) -> list[Request]:
    """Return requests with as many past turns as they can show, each with a teacher's reply."""
    longer = list[Request]()
    for request in requests:
        game = request.game
        state = request.state
        reply = solution(game, state) or target(game.scene(state), "", game.legal(state)[0])
        past = context_length.lost_turns(recipe.context, game, state, reply)
        longer.append(request._replace(past=past))
    return longer


def _check_held_out(task: Task, episodes: int) -> None:
    """Check that a task has held-out deals. Warns if distinct boards are fewer than half the episodes."""
    game = find(task.game)
    knobs = task.knobs
    keys = set[Hashable]()
    for index in range(episodes):
        start = game.start(deal(game, knobs, "test", index), knobs)
        keys.add(game.key(start))
    boards = len(keys)
    if boards < episodes / 2:
        LOG.warning(
            "%s %s: different boards among the first %d held-out games: %d; intervals will be too narrow",
            *(task.game, task.reasoning, episodes, boards),
        )


def _check_ends(processor: ProcessorMixin, path: Path) -> None:
    """Check that the chat template ends a reply with a stop token, so that the model learns to write it."""
    tokenizer = processor.tokenizer
    try:
        others = GenerationConfig.from_pretrained(path).eos_token_id or []
    except OSError:  # the model has no generation configuration
        others = []
    ends = [tokenizer.eos_token_id, *(others if isinstance(others, list) else [others])]
    example = written(processor)
    if not any(token in example for token in tokenizer.convert_ids_to_tokens(ends)):
        raise ValueError(
            f"the chat template of {path} writes no {tokenizer.eos_token} after a reply, so that a model "
            "would not learn to stop; mend its chat_template.jinja"
        )


def _check_pictures(
    config: PreTrainedConfig, processor: ProcessorMixin, requests: Sequence[Request], path: Path
) -> None:
    """Check that each picture has one placeholder, and as many visual tokens as the model makes."""
    mark = getattr(processor, "image_token", None)
    if mark is not None:
        pictures = 0
        count = 0  # of placeholders
        for request in requests:
            pictures += len(request.pictures())
            count += apply_template(processor, request.messages()).count(mark)
        if count != pictures:
            raise ValueError(
                f"the chat template of {path} writes {count} placeholders for {pictures} pictures; mend its "
                "chat_template.jinja, or choose a model that is tuned to be asked about pictures"
            )
    inputs = encode_requests(processor, requests)
    tokens = int(torch.isin(inputs["input_ids"], torch.tensor(processor.image_token_ids)).sum())
    family = FAMILIES.get(config.model_type)
    if family is not None and tokens != (made := family.features(config, inputs)):
        raise ValueError(
            f"the processor of {path} writes {tokens} visual tokens where the model makes {made}; make the "
            "sizes of its pictures and patches those of the model"
        )


def _check_past_pictures(
    config: PreTrainedConfig, processor: ProcessorMixin, requests: Sequence[Request], path: Path
) -> None:
    """Check that the pictures of turns before are shown, too: some families take one picture alone."""
    try:
        _check_pictures(config, processor, requests, path)
    except (ValueError, TypeError, IndexError, RuntimeError, TemplateError) as error:
        history = len(requests[0].past)
        cause = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be shown the {1 + history} pictures of history={history}: {cause}; "
            "set history=0, or choose a model of another family"
        ) from error


def _check_placeholders(processor: ProcessorMixin, requests: Sequence[Request], path: Path) -> None:
    """Check that TRL finds the pictures of a prompt for a vLLM server. TRL looks for a single token.

    Gemma 3's is the token before a picture, so TRL would place each picture there.
    """
    ids = encode_requests(processor, requests)["input_ids"]
    mark: int = getattr(processor, "image_token_id")  # noqa: B009 - of some processors, and not declared
    marks = torch.tensor([mark])
    tokens = torch.tensor(processor.image_token_ids)
    if torch.isin(ids, marks).sum() != torch.isin(ids, tokens).sum():
        raise ValueError(
            f"TRL does not find the pictures of {path} for a vLLM server; set grpo.trl.vllm_mode=colocate"
        )


def _check_length(
    task: Task, requests: Sequence[Request], reader: TokenCounter, positions: int | None, path: Path
) -> None:
    """Check that the prompt and the solver's reply fit into the positions of the model."""
    for request in requests:
        if positions is None or (reply := solution(request.game, request.state)) is None:
            continue
        taken = reader.prompt(request) + reader.reply(reply)
        if taken > positions:
            raise ValueError(
                f"{task.game} with perception {task.perception} takes {taken} tokens with a reply, more than "
                f"the {positions} positions of {path}; choose smaller pictures or an easier level"
            )
