"""Completions as the tensors that TRL's loss takes, and the model as TRL's loss calls it.

TRL shuffles the batch by rows and splits it into parts; a list is shuffled and split with it. So the
completions themselves are part of the batch, and the pictures of a part are collated where it is scored.
"""

from collections.abc import Sequence
from typing import NotRequired, Protocol, TypedDict

import torch
from torch import Tensor, nn
from trl.trainer.utils import pad

from ..learner import Completion
from ..models.encoding import OF_TOKENS, collate_pictures, collate_tokens


class Batch(TypedDict):
    """A batch of B completions by the names of TRL's loss; tensors of tokens are padded."""

    prompt_ids: Tensor
    """(B, L)."""
    prompt_mask: Tensor
    completion_ids: Tensor
    """(B, T)."""
    completion_mask: Tensor
    completions: list[Completion]
    advantages: NotRequired[Tensor]
    """(B,) or (B, T)."""
    num_items_in_batch: NotRequired[Tensor]
    old_per_token_logps: NotRequired[Tensor]
    """(B, T), as are the other log-probabilities."""
    ref_per_token_logps: NotRequired[Tensor]
    sampling_per_token_logps: NotRequired[Tensor]
    importance_sampling_ratio: NotRequired[Tensor]
    """(B, T) or (B, 1)."""


class TokenScores(Protocol):
    """What TRL's loss reads of the output of a model."""

    log_probs: Tensor
    """(B, T), as is `entropy`; with the prompt's tokens before, where the model ran on them."""
    entropy: Tensor


class ScoringModel(Protocol):
    """A model as TRL's loss calls it for log-probabilities."""

    @property
    def answer(self) -> TokenScores | None:
        """The output of the last call."""
        ...

    @property
    def cross_entropy(self) -> Tensor | None:
        """The cross-entropy of the examples of the second loss, summed over tokens, where it ran on them."""
        ...


def to_batch(
    completions: Sequence[Completion], pad_token: int, multiple: int | None, device: torch.device
) -> Batch:
    """Make TRL's batch of B completions: prompts padded on the left, (B, L), replies on the right, (B, T)."""
    prompts = [completion.prompt.tokens["input_ids"].cpu() for completion in completions]
    replies = [torch.tensor(completion.ids) for completion in completions]

    def padded(rows: list[Tensor], value: int, side: str) -> Tensor:
        together: Tensor = pad(rows, padding_value=value, padding_side=side, pad_to_multiple_of=multiple)
        return together.to(device)

    return {
        "prompt_ids": padded(prompts, pad_token, "left"),
        "prompt_mask": padded(list(map(torch.ones_like, prompts)), 0, "left"),
        "completion_ids": padded(replies, pad_token, "right"),
        "completion_mask": padded(list(map(torch.ones_like, replies)), 0, "right"),
        "completions": list(completions),
    }


def advantages_of(completions: Sequence[Completion], length: int, device: torch.device) -> Tensor:
    """Stack the advantages to (B,), or to (B, length) where each token has its own."""
    rows = list[Tensor]()  # () or (T,) each
    for completion in completions:
        assert completion.advantages is not None
        rows.append(completion.advantages)
    if rows[0].ndim == 0:
        return torch.stack(rows).to(device)
    # Tokens after the end of a reply are masked in the loss.
    padded = list[Tensor]()
    for values in rows:
        padded.append(torch.cat([values, values[-1:].expand(length - len(values))]))
    return torch.stack(padded).to(device)


class Scorer:
    """A model as TRL calls it for log-probabilities, on the pictures of some completions.

    `prompt` is the padded length of the prompts. The output of the model stays in `answer`.
    """

    def __init__(self, model: nn.Module, completions: Sequence[Completion], prompt: int) -> None:
        self._model = model
        self._prompts = [completion.prompt for completion in completions]
        self._prompt = prompt
        self.answer: TokenScores | None = None
        self.cross_entropy: Tensor | None = None

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, **options: object) -> TokenScores:
        """Run the model on tokens, (B, L + T), with the pictures of their prompts."""
        device = input_ids.device
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        for name, value in collate_pictures(self._prompts).items():
            inputs[name] = value.to(device)
        replies = input_ids.shape[1] - self._prompt
        for name in OF_TOKENS[2:]:  # TRL passes ids and mask, and no types of tokens
            if name in self._prompts[0].tokens:
                types = collate_tokens(self._prompts, name, self._prompt).to(device)
                inputs[name] = torch.nn.functional.pad(types, (0, replies))  # replies are text: type 0
        answer: TokenScores = self._model(**inputs, **options)
        self.answer = answer
        return answer
