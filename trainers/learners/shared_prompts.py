"""A prompt run once for all completions of its group: the same tokens and log-probabilities, in less time.

What a model keeps of a prompt, keys and values, is the same for all replies to it, and gradients flow back
through it from each. TRL runs the prompt anew for every reply.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from trl.models import unwrap_model_for_generation

from vlm_gym.rollouts.policy import Request

from ..models.encoding import OF_TOKENS, Prompt, collate
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
        prompt_of = torch.arange(len(prompts), device=device).repeat_interleave(n)  # (P * n,)
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
            prefilled = prefill(model, collate(prompts, self._tokenizer.pad_token_id), prompt_of)
            tokens = sample_replies(model, prefilled, self.generation_config).cpu()
        ends = torch.isin(tokens, torch.tensor(self.eos_token_ids)).long()  # (P * n, T), 1 at an end
        kept = ends.cumsum(dim=1) <= ends  # up to the first token that ends a reply, and with it
        return [row[keep].tolist() for row, keep in zip(tokens, kept, strict=True)], None

    def scorer(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the model as TRL's loss calls it, on shared prompts where that is possible."""
        if self.in_parts or self.args.gradient_checkpointing or self.aux_loss_enabled:
            return super().scorer(model, inputs)
        return SharedScorer(model, inputs, self._tokenizer.pad_token_id)


class SharedScorer:
    """A model as TRL calls it for log-probabilities. What the model answered stays in `answer`."""

    def __init__(self, model: Any, inputs: Mapping[str, Any], pad: int) -> None:
        self._model = model
        # TRL has shuffled the rows, so those of a group need not stand together: (B,) numbers of prompts.
        groups, self._prompt_of = inputs["group"].unique(return_inverse=True)
        prompts = dict(
            zip(inputs["group"].tolist(), (each.prompt for each in inputs["completions"]), strict=True)
        )
        self._shown = collate([prompts[group] for group in groups.tolist()], pad)
        self._replies = inputs["completion_ids"]
        self._mask = inputs["completion_mask"]
        self.answer: Any = None

    def __call__(self, **_: Any) -> Any:
        """Compute ``log_probs`` and ``entropy``, (B, T) each."""
        logprobs, entropies = of_groups(self._model, self._shown, self._prompt_of, self._replies, self._mask)
        self.answer = SimpleNamespace(log_probs=logprobs, entropy=entropies)
        return self.answer


class Prefill(NamedTuple):
    """What replies go on from: tokens of their prompts and which of them are there, (B, L), and the cache.

    The cache lacks the last token, which goes with the replies: their first tokens are what it predicts.
    """

    ids: Tensor
    present: Tensor
    cache: Any


def prefill(model: Any, shown: Mapping[str, Tensor], prompt_of: Tensor) -> Prefill:
    """Run prompts, (P, L), with their pictures; `prompt_of`, (B,), says which of them a reply answers."""
    # Without the last token: what it predicts, the first token of a reply, is computed with the reply.
    prefilled = {name: value[:, :-1] if name in OF_TOKENS else value for name, value in shown.items()}
    two = _position_parts(model)  # such a part numbers the tokens itself, by the pictures
    if not two:
        prefilled["position_ids"] = _number_tokens(prefilled["attention_mask"])
    cache = model(**prefilled, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_select_indices(prompt_of)  # from (P, ...) to (B, ...): gradients of all replies add up
    for part in two:
        part.rope_deltas = part.rope_deltas[prompt_of]
    return Prefill(shown["input_ids"][prompt_of], shown["attention_mask"][prompt_of], cache)


def sample_replies(model: Any, prefilled: Prefill, decoding: Any) -> Tensor:
    """Sample replies, (B, T), by transformers' `generate`; `decoding` is its configuration."""
    output: Tensor = model.generate(
        input_ids=prefilled.ids,
        attention_mask=prefilled.present,
        past_key_values=prefilled.cache,
        generation_config=decoding,
    )
    return output[:, prefilled.ids.shape[1] :]


def of_groups(
    model: Any, shown: Mapping[str, Tensor], prompt_of: Tensor, replies: Tensor, mask: Tensor
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
    """Number the tokens that are there, as transformers does where it writes on."""
    return (present.cumsum(dim=1) - 1).clamp(min=0)


def _position_parts(model: Any) -> list[Any]:
    """Find the part of Qwen's models that numbers pictures by row and column, apart from words."""
    return [part for part in model.modules() if hasattr(part, "rope_deltas")]
