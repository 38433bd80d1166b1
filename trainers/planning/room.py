"""Whether prompts and replies fit into a model: told before a run, and not in its middle."""

from pathlib import Path
from typing import Any

from transformers import AutoConfig

from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Past

from ..models.policy import encode
from ..models.processors import load_processor
from ..recipe import Recipe


def room(config: Any) -> int | None:
    """Tell how many tokens a model has positions for; None if it does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def check(recipe: Recipe, path: Path, longest: int) -> None:
    """Raise `ValueError` if a prompt and the longest replies of a recipe do not fit into a model.

    `longest` is what GRPO's replies may take.
    """
    positions = room(AutoConfig.from_pretrained(path))
    limits = {}
    if recipe.grpo:
        limits["grpo.trl.max_completion_length"] = longest
    if recipe.evaluation:
        limits["evaluation.max_tokens"] = recipe.evaluation.max_tokens
    if positions is None or not limits:
        return
    processor = load_processor(path, **recipe.model.pictures)
    for task in recipe.task:
        asked = task.request(find(task.game).start(0, task.knobs))
        history = recipe.shown(asked.game)
        shown = asked._replace(past=(Past(asked.state, "", ""),) * history)
        prompt = encode(processor, [shown])["input_ids"].shape[1]
        for name, reply in limits.items():
            if history and prompt + (1 + history) * reply > positions:
                raise ValueError(
                    f"{task.game} with history={history} takes a prompt of {prompt} tokens and up to "
                    f"{name}={reply} for each of {1 + history} replies: more than the {positions} positions "
                    f"of {path}; lower history or {name}"
                )
            if prompt + reply > positions:
                raise ValueError(
                    f"{task.game} with perception {task.perception} takes a prompt of {prompt} tokens; with "
                    f"{name}={reply} that is more than the {positions} positions of {path}; "
                    "lower it, or choose smaller pictures"
                )
