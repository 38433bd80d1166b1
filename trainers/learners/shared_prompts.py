"""A prompt run once for all replies to it: the same tokens and log-probabilities, in less time.

The keys and values of a prompt are the same for all replies, and the gradients of all replies flow back
through them. TRL runs the prompt anew for every reply.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor, nn
from transformers import Cache, GenerationConfig

from ..models.encoding import OF_TOKENS
from ..models.protocols import GenerativeModel
from ..models.token_loop import sample_tokens


class Prefill(NamedTuple):
    """The prompts of replies, run once: their tokens, which of them are no padding, (B, L), and the cache.

    The cache lacks the last token of a prompt, which predicts the first token of a reply: it is run with the
    replies.
    """

    ids: Tensor
    present: Tensor
    cache: Cache


def prefill(model: nn.Module, shown: Mapping[str, Tensor], prompt_of: Tensor) -> Prefill:
    """Run prompts, (P, L), with their pictures; `prompt_of`, (B,), says which of them a reply answers."""
    # Without the last token: what it predicts, the first token of a reply, is computed with the reply.
    inputs = dict[str, Tensor]()
    for name, value in shown.items():
        inputs[name] = value[:, :-1] if name in OF_TOKENS else value
    parts = _position_parts(model)  # such a part numbers the tokens itself, by the pictures
    if not parts:
        inputs["position_ids"] = _number_tokens(inputs["attention_mask"])
    cache: Cache = model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_select_indices(prompt_of)  # from (P, ...) to (B, ...): gradients of all replies add up
    for part in parts:
        part.rope_deltas = part.rope_deltas[prompt_of]
    return Prefill(shown["input_ids"][prompt_of], shown["attention_mask"][prompt_of], cache)


def sample_replies(model: GenerativeModel, prefilled: Prefill, decoding: GenerationConfig) -> Tensor:
    """Sample replies, (B, T), by transformers' `generate`; `decoding` is its configuration, without beams."""
    output = model.generate(
        input_ids=prefilled.ids,
        attention_mask=prefilled.present,
        past_key_values=prefilled.cache,
        generation_config=decoding,
        custom_generate=sample_tokens,
    )
    return output[:, prefilled.ids.shape[1] :]


def of_groups(
    model: nn.Module, shown: Mapping[str, Tensor], prompt_of: Tensor, replies: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute log-probability and entropy of every token of `replies`, (B, T), by TRL's fused head.

    `prompt_of`, (B,), says which of the prompts `shown` a reply answers, and `mask`, (B, T), which tokens are
    there. The model has to keep keys and values while it learns.
    """
    prefilled = prefill(model, shown, prompt_of)
    present = torch.cat(
        [prefilled.present, mask[:, :-1]], dim=1
    )  # (B, L + T - 1): nothing follows the last token
    token_numbers = _number_tokens(present)[:, -replies.shape[1] :]  # (B, T)
    for part in _position_parts(model):
        # Text has one number for time, row and column; pictures before it take fewer numbers than tokens.
        token_numbers = (token_numbers + part.rope_deltas).expand(3, -1, -1)
    answer = model(
        input_ids=torch.cat([prefilled.ids[:, -1:], replies[:, :-1]], dim=1),
        attention_mask=present,
        position_ids=token_numbers,
        past_key_values=prefilled.cache,
        shift_labels=replies.masked_fill(mask == 0, -100),
        fused_lm_head=True,
    )
    return answer.log_probs, answer.entropy


def _number_tokens(present: Tensor) -> Tensor:
    """Number the tokens that are no padding, (B, L), as transformers does in `generate`."""
    return (present.cumsum(dim=1) - 1).clamp(min=0)


class PositionPart(Protocol):
    """The part of Qwen's models that numbers pictures by row and column, apart from words."""

    rope_deltas: Tensor
    """(B, 1): by how much the number of a text's token differs from the count of tokens before it."""


def _position_parts(model: nn.Module) -> list[PositionPart]:
    return [part for part in model.modules() if _numbers_tokens(part)]


def _numbers_tokens(part: nn.Module) -> TypeGuard[PositionPart]:
    return hasattr(part, "rope_deltas")
