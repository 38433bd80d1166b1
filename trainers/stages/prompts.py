"""A prompt run once for all the replies of its group: the same log-probabilities, in less time.

What a model keeps of a prompt, keys and values, is the same for all replies to it, and gradients flow back
through it from each. TRL runs prompt and picture anew for every reply.
"""

from collections.abc import Sequence
from typing import Any

import torch

from vlm_gym.rollouts.policy import Request

from ..models.policy import encode
from .sight import OF_TOKENS


def of_groups(
    model: Any,
    processor: Any,
    requests: Sequence[Request],
    groups: torch.Tensor,
    replies: torch.Tensor,
    mask: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute log-probability and entropy of every token of `replies`, (B, T), by TRL's fused head.

    `groups`, (B,), says which of the `requests` a reply answers, and `mask`, (B, T), which tokens are there.
    The model has to give keys and values while it learns, which it does not with gradient checkpointing.
    """
    present, whose = groups.unique(return_inverse=True)
    shown = encode(processor, [requests[at] for at in present.tolist()]).to(replies.device)
    ids, seen = shown["input_ids"], shown["attention_mask"]
    # The last token of a prompt goes with the replies, since their first tokens are what it predicts.
    begun = {name: value[:, :-1] if name in OF_TOKENS else value for name, value in shown.items()}
    cache = model(**begun, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_select_indices(whose)
    seen = torch.cat([seen[whose], mask[:, :-1]], dim=1)
    answer = model(
        input_ids=torch.cat([ids[whose, -1:], replies[:, :-1]], dim=1),
        attention_mask=seen,
        past_key_values=cache,
        shift_labels=replies.masked_fill(mask == 0, -100),
        fused_lm_head=True,
        **_places(model, whose, seen, replies.shape[1]),
    )
    return answer.log_probs, answer.entropy


def _places(model: Any, whose: torch.Tensor, seen: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
    """Say where the last tokens stand for Qwen's models, which number pictures by row and column.

    They keep, of the prompts they saw last, how far words that follow are off their place in the line.
    """
    for part in model.modules():
        if (off := getattr(part, "rope_deltas", None)) is not None:
            places = (seen.cumsum(dim=1) - 1)[:, -count:] + off[whose]
            return {"position_ids": places.expand(3, -1, -1)}
    return {}
