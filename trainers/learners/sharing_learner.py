"""TRL's trainer with shared prompts: each prompt is run once for all replies to it."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from trl.models import unwrap_model_for_generation

from vlm_gym.rollouts.policy import Request

from ..losses import SFTExample
from ..models.batching import of_similar_length
from ..models.encoding import Prompt, collate
from ..models.token_loop import samples_tokens
from .shared_prompts import prefill, sample_replies
from .shared_scorer import SharedScorer
from .tensors import Batch, ScoringModel
from .trl_learner import TrlLearner


class SharingLearner(TrlLearner):
    """TRL's trainer with shared prompts.

    A model that lies in parts on several devices runs as TRL runs it; so does beam search, and a loss whose
    gradients are checkpointed, since the model keeps no keys and values then.
    """

    def write(
        self, requests: Sequence[Request], prompts: Sequence[Prompt], n: int
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        """Sample n replies to each prompt by transformers' `generate`, with each prompt run once."""
        if self.use_vllm or self.in_parts or not samples_tokens(self.generation_config):
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

    def scorer(self, model: nn.Module, inputs: Batch, examples: Sequence[SFTExample]) -> ScoringModel:
        """Return the model as TRL's loss calls it, on shared prompts where that is possible."""
        if self.in_parts or self.args.gradient_checkpointing or self.aux_loss_enabled:
            return super().scorer(model, inputs, examples)
        # The head that TRL adds divides by the temperature, and the second loss has none.
        shared = examples if self.temperature == 1 else ()
        return SharedScorer(model, self.processing_class, inputs, shared)
