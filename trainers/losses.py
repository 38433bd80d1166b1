"""Sight kept awake while rewards teach to play: the truth about the pictures of a step, as a second loss.

A reward tells one number for a whole board, and what it teaches about play blurs what is seen. But the scene
of every position is known, so the words for it can be taught as in a cold start. Nothing is told about play.
"""

from collections.abc import Sequence
from typing import Any

import torch

from vlm_gym.rollouts.policy import Request

from .models.policy import encode
from .models.processors import opening

OF_TOKENS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs with one number for every token."""


def lesson(processor: Any, requests: Sequence[Request]) -> dict[str, Any]:
    """Encode pictures and the true words for them, with ``labels`` on these words alone.

    Words follow the prompt as tokens of their own, as in a reply: nothing merges with the prompt's last.
    """
    shown, truths = encode(processor, requests), _truths(processor, requests)
    told = processor.tokenizer(
        truths, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt"
    )
    ids, mask = told["input_ids"], told["attention_mask"]
    more = {"input_ids": ids, "attention_mask": mask}
    joined = {
        name: torch.cat([value, more.get(name, torch.zeros_like(ids))], dim=1)
        for name, value in shown.items()
        if name in OF_TOKENS
    }
    labels = torch.cat([torch.full_like(shown["input_ids"], -100), ids.masked_fill(mask == 0, -100)], dim=1)
    return {**shown, **joined, "labels": labels}


def length(processor: Any, requests: Sequence[Request]) -> int:
    """Count the tokens of the true words."""
    ids = processor.tokenizer(_truths(processor, requests), add_special_tokens=False)["input_ids"]
    return sum(map(len, ids))


def _truths(processor: Any, requests: Sequence[Request]) -> list[str]:
    scenes, start = [request.game.scene(request.state) for request in requests], opening(processor)
    return [f"{start}<perception>{scene.describe()}</perception>" for scene in scenes]
