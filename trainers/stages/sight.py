"""Sight kept awake while rewards teach to play: the truth about the pictures of a step, as a second loss.

A reward tells one number for a whole board, and what it teaches about play blurs what is seen. But the scene
of every position is known, so the words for it can be taught as in a cold start. Nothing is told about play.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import ProcessorMixin

from vlm_gym.rollouts.policy import Request

from ..models.policy import encode


def lesson(processor: ProcessorMixin, requests: Sequence[Request]) -> dict[str, Any]:
    """Encode pictures and the true words for them, with ``labels`` on these words alone."""
    words = [
        f"<perception>{request.game.scene(request.state).describe()}</perception>" for request in requests
    ]
    inputs = encode(processor, requests, words)
    told = processor.tokenizer(words, add_special_tokens=False)["input_ids"]
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, ids in enumerate(told):  # padded on the left, so that the words end where the row ends
        labels[row, -len(ids) :] = inputs["input_ids"][row, -len(ids) :]
    return {**inputs, "labels": labels}
