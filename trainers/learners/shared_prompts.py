"""A prompt run once for all completions of its group: the same tokens and log-probabilities, in less time.

The keys and values of a prompt are the same for all replies to it, and the gradients of all replies flow back
through them. TRL runs the prompt anew for every reply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor, nn
from transformers import Cache, GenerationConfig
from trl.models import unwrap_model_for_generation

from vlm_gym.rollouts.policy import Request

from ..models.batching import of_similar_length
from ..models.encoding import OF_TOKENS, Prompt, collate
from ..models.protocols import GenerativeModel
from .tensors import Batch, ScoringModel
from .trl_learner import TrlLearner


class SharingLearner(TrlLearner):
    """TRL's trainer with shared prompts.

    A model that lies in parts on several devices runs as TRL runs it; so does a loss whose gradients are
    checkpointed, since the model keeps no keys and values then.
    """

    def write(
        self, requests: Sequence[Request], prompts: Sequence[Prompt], n: int
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        """Sample n replies to each prompt by transformers' `generate`, with each prompt run once."""
        if self.use_vllm or self.in_parts:
            return super().write(requests, prompts, n)
        recomputing = self.args.gradient_checkpointing_kwargs
        assert not isinstance(recomputing, str)
        device = self.accelerator.device
        written: list[list[list[int]]] = [[]] * len(prompts)  # (P, n) lists of T tokens, T of its own each
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=recomputing,
            ) as model,
            torch.no_grad(),
        ):
            lengths = [len(prompt.ids) for prompt in prompts]
            for indices in of_similar_length(lengths, len(prompts)):
                shown = collate([prompts[index] for index in indices], self._tokenizer.pad_token_id)
                # The rows of a batch, (P * n,), by the prompt of the batch that each answers.
                prompt_of = torch.arange(len(indices), device=device).repeat_interleave(n)
                prefilled = prefill(model, shown, prompt_of)
                replies = self._ended(sample_replies(model, prefilled, self.generation_config).cpu())
                for place, index in enumerate(indices):
                    written[index] = replies[place * n :][:n]
        return list(chain.from_iterable(written)), None

    def _ended(self, tokens: Tensor) -> list[list[int]]:
        """Return replies, (B, T), as lists up to the first token that ends a reply, and with it."""
        ends = torch.isin(tokens, torch.tensor(self.eos_token_ids)).long()  # (B, T), 1 at an end
        kept = ends.cumsum(dim=1) <= ends
        return [row[keep].tolist() for row, keep in zip(tokens, kept, strict=True)]

    def scorer(self, model: nn.Module, inputs: Batch) -> ScoringModel:
        """Return the model as TRL's loss calls it, on shared prompts where that is possible."""
        if self.in_parts or self.args.gradient_checkpointing or self.aux_loss_enabled:
            return super().scorer(model, inputs)
        return SharedScorer(model, inputs, self._tokenizer.pad_token_id)


@dataclass
class SharedScores:
    """Log-probability and entropy of every token of the replies, (B, T)."""

    log_probs: Tensor
    entropy: Tensor


class SharedScorer:
    """A model as TRL calls it for log-probabilities. Its last output stays in `answer`."""

    def __init__(self, model: nn.Module, inputs: Batch, pad: int) -> None:
        self._model = model
        # TRL has shuffled the rows, so those of a group need not stand together: (B,) indices of prompts.
        groups, self._prompt_of = inputs["group"].unique(return_inverse=True)
        prompts = dict[int, Prompt]()  # by the index of the group
        for group, completion in zip(inputs["group"].tolist(), inputs["completions"], strict=True):
            prompts[group] = completion.prompt
        self._shown = collate([prompts[group] for group in groups.tolist()], pad)
        self._replies = inputs["completion_ids"]
        self._mask = inputs["completion_mask"]
        self.answer: SharedScores | None = None

    def __call__(self, **_: object) -> SharedScores:
        """Compute ``log_probs`` and ``entropy``, (B, T) each."""
        logprobs, entropies = of_groups(self._model, self._shown, self._prompt_of, self._replies, self._mask)
        answer = SharedScores(logprobs, entropies)
        self.answer = answer
        return answer


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
    """Sample replies, (B, T), by transformers' `generate`; `decoding` is its configuration."""
    output = model.generate(
        input_ids=prefilled.ids,
        attention_mask=prefilled.present,
        past_key_values=prefilled.cache,
        generation_config=decoding,
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
