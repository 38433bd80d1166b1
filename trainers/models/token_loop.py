"""The loop that samples replies token by token, for transformers' `generate`.

It differs from that of transformers in two ways: a reply that has ended leaves the batch, and a token costs
one random number in place of one for every token of the vocabulary. With a small model on a CPU this takes
about half of the time.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Cache, GenerationConfig, StoppingCriteriaList
from transformers.generation.configuration_utils import GenerationMode

from .growing_cache import grow_in_place
from .protocols import GenerativeModel

KEPT = 0.8
"""Replies that have ended leave the batch when less than this share of it goes on; that copies the cache."""


def samples_tokens(decoding: GenerationConfig) -> bool:
    """Check whether `sample_tokens` can decode so.

    It samples, or takes the likeliest token each time, with a cache that grows and of which rows can leave.
    """
    mode = decoding.get_generation_mode()
    grows = decoding.use_cache is not False and decoding.cache_implementation in (None, "dynamic")
    return grows and mode in (GenerationMode.SAMPLE, GenerationMode.GREEDY_SEARCH)


def sample_tokens(
    model: GenerativeModel,
    input_ids: Tensor,
    logits_processor: Callable[[Tensor, Tensor], Tensor],
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    **inputs: object,
) -> Tensor:
    """Return prompts, (B, L), with their replies, (B, up to L + T), padded after their ends.

    For `custom_generate` of transformers' `generate`, of which it takes the arguments. `past_key_values` of
    `inputs` is empty or the cache of the first tokens of the prompts. Draws by the process-wide generator, as
    `generate` does. Raises `RuntimeError` for probabilities that are NaN or infinite.
    """
    cache = inputs["past_key_values"]
    present = inputs["attention_mask"]
    numbers = inputs["position_ids"]
    assert isinstance(cache, Cache)
    assert isinstance(present, Tensor | None)  # None if nothing is padded
    assert isinstance(numbers, Tensor)
    # Positions of the last tokens, (R, 1), or (parts, R, 1) for models that number rows and columns apart.
    numbers = numbers[..., -1:]
    count, begin = input_ids.shape
    limit = stopping_criteria.max_length
    pad = generation_config.pad_token_id
    assert limit is not None
    assert isinstance(pad, int)
    written = torch.nn.functional.pad(input_ids, (0, limit - begin), value=pad)  # (B, L + T)
    rows = torch.arange(count, device=input_ids.device)  # (R,): those of `written` that the batch has
    ended = torch.zeros_like(rows, dtype=torch.bool)  # (R,)
    shown = model.prepare_inputs_for_generation(
        input_ids,
        next_sequence_length=begin - cache.get_seq_length(),
        is_first_iteration=True,
        **inputs,
    )
    for end in range(begin, limit):
        logits = model(**shown).logits[:, -1].float()  # (R, V)
        if end == begin:
            grow_in_place(cache)
        scores = logits_processor(written[rows, :end], logits)
        # One number for every reply, also for those that have left: none depends on when others end.
        chance = torch.rand(count, device=rows.device)[rows] if generation_config.do_sample else None
        tokens = scores.argmax(dim=-1) if chance is None else draw(scores, chance)
        written[rows, end] = tokens.masked_fill(ended, pad)
        ended = ended | stopping_criteria(written[rows, : end + 1], scores)
        going = int((~ended).sum())
        if going == 0:
            return written[:, : end + 1]
        numbers = numbers + 1
        if present is not None:
            present = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)
        if going < KEPT * len(rows):
            kept = (~ended).nonzero()[:, 0]
            rows = rows[kept]
            ended = ended[kept]
            tokens = tokens[kept]
            numbers = numbers[..., kept, :]
            present = None if present is None else present[kept]
            cache.batch_select_indices(kept)
        shown = {
            "input_ids": tokens[:, None],
            "attention_mask": present,
            "position_ids": numbers,
            "past_key_values": cache,
            "use_cache": True,
        }
    return written


def draw(scores: Tensor, chance: Tensor) -> Tensor:
    """Return the tokens, (R,), at which cumulative probabilities first reach 1 - `chance`, (R,) in [0, 1).

    `scores`, (R, V), are logits; those of minus infinity are never drawn. Raises `RuntimeError` if a
    probability is NaN or infinite.
    """
    cumulative = scores.softmax(dim=-1).cumsum(dim=-1)
    total = cumulative[:, -1:]  # 1 but for rounding
    if not torch.isfinite(total).all():
        raise RuntimeError("the probability tensor has NaN or infinite values")
    # Above 0 and at most the total, so that the token is one of positive probability.
    wanted = (1 - chance[:, None]) * total
    return torch.searchsorted(cumulative, wanted)[:, 0]
