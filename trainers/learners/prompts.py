"""A prompt run once for all the replies of its group: the same tokens and log-probabilities, in less time.

What a model keeps of a prompt, keys and values, is the same for all replies to it, and gradients flow back
through it from each. TRL prepares and runs prompt and picture anew for every reply.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vlm_gym.rollouts.policy import Request

from ..losses import OF_TOKENS
from ..models.policy import encode


class Begun(NamedTuple):
    """What replies go on from: tokens of their prompts and which of them are there, (B, P), and the cache.

    The cache lacks the last token, which goes with the replies: their first tokens are what it predicts.
    """

    ids: torch.Tensor
    seen: torch.Tensor
    cache: Any


def begin(model: Any, processor: Any, requests: Sequence[Request], whose: torch.Tensor) -> Begun:
    """Run prompts and pictures; `whose`, (B,), says which of the requests a reply answers."""
    shown = encode(processor, requests).to(whose.device)
    begun = {name: value[:, :-1] if name in OF_TOKENS else value for name, value in shown.items()}
    two = _in_two(model)
    if not two:
        begun["position_ids"] = _line(begun["attention_mask"])
    cache = model(**begun, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_select_indices(whose)
    for part in two:
        part.rope_deltas = part.rope_deltas[whose]
    return Begun(shown["input_ids"][whose], shown["attention_mask"][whose], cache)


def write(model: Any, begun: Begun, decoding: Any) -> torch.Tensor:
    """Have replies written by transformers' `generate`; `decoding` is its configuration. Gives (B, T)."""
    output: torch.Tensor = model.generate(
        input_ids=begun.ids,
        attention_mask=begun.seen,
        past_key_values=begun.cache,
        generation_config=decoding,
    )
    return output[:, begun.ids.shape[1] :]


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
    begun = begin(model, processor, [requests[at] for at in present.tolist()], whose)
    seen = torch.cat([begun.seen, mask[:, :-1]], dim=1)
    places = _line(seen)[:, -replies.shape[1] :]
    for part in _in_two(model):
        places = (places + part.rope_deltas).expand(3, -1, -1)
    answer = model(
        input_ids=torch.cat([begun.ids[:, -1:], replies[:, :-1]], dim=1),
        attention_mask=seen,
        position_ids=places,
        past_key_values=begun.cache,
        shift_labels=replies.masked_fill(mask == 0, -100),
        fused_lm_head=True,
    )
    return answer.log_probs, answer.entropy


def _line(seen: torch.Tensor) -> torch.Tensor:
    """Number the tokens that are there, as transformers does where it writes on."""
    return (seen.cumsum(dim=1) - 1).clamp(min=0)


def _in_two(model: Any) -> list[Any]:
    """Find the part of Qwen's models that numbers pictures by row and column, apart from words."""
    return [part for part in model.modules() if hasattr(part, "rope_deltas")]
