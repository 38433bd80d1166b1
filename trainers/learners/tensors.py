"""Completions as the tensors that TRL's loss takes, and the model as TRL's loss calls it.

TRL shuffles the batch by rows and splits it into parts; a list is shuffled and split with it. So the
completions themselves travel in the batch, and the pictures of a part are put together where it is scored.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import pad

from ..learner import Completion
from ..models.encoding import OF_TOKENS, collate_pictures, collate_tokens


def to_batch(
    completions: Sequence[Completion], pad_token: int, multiple: int | None, device: torch.device
) -> dict[str, Any]:
    """Make TRL's batch of B completions: prompts padded on the left, (B, L), replies on the right, (B, T)."""
    prompts = [completion.prompt.tokens["input_ids"].cpu() for completion in completions]
    replies = [torch.tensor(completion.ids) for completion in completions]

    def padded(rows: list[Tensor], value: int, side: str) -> Tensor:
        together: Tensor = pad(rows, padding_value=value, padding_side=side, pad_to_multiple_of=multiple)
        return together.to(device)

    return {
        "prompt_ids": padded(prompts, pad_token, "left"),
        "prompt_mask": padded([torch.ones_like(ids) for ids in prompts], 0, "left"),
        "completion_ids": padded(replies, pad_token, "right"),
        "completion_mask": padded([torch.ones_like(ids) for ids in replies], 0, "right"),
        "completions": list(completions),
    }


def advantages_of(completions: Sequence[Completion], length: int, device: torch.device) -> Tensor:
    """Stack the advantages to (B,), or to (B, length) where each token has its own."""
    each = [completion.advantages for completion in completions]
    assert all(values is not None for values in each)
    rows = [values for values in each if values is not None]
    if rows[0].ndim == 0:
        return torch.stack(rows).to(device)
    # Tokens after the end of a reply are masked in the loss.
    padded = list[Tensor]()
    for values in rows:
        padded.append(torch.cat([values, values[-1:].expand(length - len(values))]))
    return torch.stack(padded).to(device)


class Scorer:
    """A model as TRL calls it for log-probabilities, on the pictures of some completions.

    `prompt` is the padded length of the prompts. What the model answered stays in `answer`.
    """

    def __init__(self, model: Any, completions: Sequence[Completion], prompt: int) -> None:
        self._model = model
        self._prompts = [completion.prompt for completion in completions]
        self._prompt = prompt
        self.answer: Any = None

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, **options: Any) -> Any:
        """Run the model on tokens, (B, L + T), with the pictures of their prompts."""
        device = input_ids.device
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        inputs |= {name: value.to(device) for name, value in collate_pictures(self._prompts).items()}
        replies = input_ids.shape[1] - self._prompt
        for name in OF_TOKENS[2:]:  # ids and mask are TRL's; it knows no types of tokens
            if name in self._prompts[0].tokens:
                types = collate_tokens(self._prompts, name, self._prompt).to(device)
                inputs[name] = torch.nn.functional.pad(types, (0, replies))  # replies are text: type 0
        self.answer = self._model(**inputs, **options)
        return self.answer
