"""Check before a run that prompts and replies fit into the positions of a model."""

from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig

from vlm_gym.actions import LONGEST_ANSWER, parse_for
from vlm_gym.game import Game, State
from vlm_gym.registry import find
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import PastTurn

from ..models.processors import load_processor
from ..models.transformers_policy import encode_requests
from ..recipe import Recipe

_ANSWER = LONGEST_ANSWER + 8
"""Tokens of a past answer with its tags, where it is shown alone."""


def lost_turns(context: History, game: Game, state: State, reply: str) -> tuple[PastTurn, ...]:
    """Return as many turns before as a request shows, each with a reply and the feedback on an illegal move.

    This is the longest feedback of most games, and any number of turns can be lost in a position.
    """
    feedback = parse_for(game, state, "<answer>?</answer>").error
    return context.shown(game, [PastTurn(state, reply, feedback)] * context.count(game))


def context_length(config: PreTrainedConfig) -> int | None:
    """Return how many tokens a model has positions for; None if its configuration has no limit."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def check_context(recipe: Recipe, path: Path, longest: int) -> None:
    """Raise `ValueError` if a prompt and the longest replies of a recipe do not fit into a model.

    `longest` is what GRPO's replies may take.
    """
    positions = context_length(AutoConfig.from_pretrained(path))
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
        context = recipe.context
        history = context.count(asked.game)
        shown = asked._replace(past=lost_turns(context, asked.game, asked.state, ""))
        prompt = encode_requests(processor, [shown])["input_ids"].shape[1]
        for name, reply in limits.items():
            before = reply if context.replies == "whole" else min(reply, _ANSWER)
            if history and prompt + history * before + reply > positions:
                shorter = ', set history_replies="answer",' if context.replies == "whole" else ""
                raise ValueError(
                    f"{task.game} with history={history} takes a prompt of {prompt} tokens, up to {before} "
                    f"for each of {history} replies before and {name}={reply} for the next: more than the "
                    f"{positions} positions of {path}; lower history{shorter} or lower {name}"
                )
            if prompt + reply > positions:
                raise ValueError(
                    f"{task.game} with perception {task.perception} takes a prompt of {prompt} tokens; with "
                    f"{name}={reply} that is more than the {positions} positions of {path}; "
                    "lower it, or choose smaller pictures"
                )
