"""Log-probabilities of replies in which every prompt, and every different reply to it, is run once.

The replies of a policy of low entropy are often equal in their group, or equal to the teacher's reply, which
the second loss learns. The gradients of all that are equal add up.

B replies, U different ones among them, P prompts, T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad as filled
from torch.nn.utils.rnn import pad_sequence
from transformers import ProcessorMixin

from ..losses import SFTExample, reply_ids
from ..models.batching import of_similar_length
from ..models.encoding import Prompt, collate, encode_prompt
from .shared_prompts import of_groups
from .tensors import Batch


@dataclass
class SharedScores:
    """Log-probability and entropy of every token of the replies, (B, T)."""

    log_probs: Tensor
    entropy: Tensor


class SharedScorer:
    """A model as TRL calls it for log-probabilities. Its last output stays in `answer`."""

    def __init__(
        self, model: nn.Module, processor: ProcessorMixin, inputs: Batch, examples: Sequence[SFTExample]
    ) -> None:
        self._model = model
        self._pad = processor.tokenizer.pad_token_id
        self._rows, self._length = inputs["completion_ids"].shape  # (B, T)
        self._prompts = [completion.prompt for completion in inputs["completions"]]
        self._replies = [completion.ids for completion in inputs["completions"]]
        if examples:
            device = inputs["completion_ids"].device
            for example, ids in zip(examples, reply_ids(processor, examples), strict=True):
                self._prompts.append(example.prompt or encode_prompt(processor, example.request, device))
                self._replies.append(ids)
        self.answer: SharedScores | None = None
        self.cross_entropy: Tensor | None = None

    def __call__(self, **_: object) -> SharedScores:
        """Compute ``log_probs`` and ``entropy``, (B, T) each, and the cross-entropy of the examples."""
        scores = score(self._model, self._prompts, self._replies, self._pad)  # examples come last
        answer = SharedScores(
            _fitted(scores.log_probs[: self._rows], self._length),
            _fitted(scores.entropy[: self._rows], self._length),
        )
        if len(self._replies) > self._rows:
            self.cross_entropy = -scores.log_probs[self._rows :].sum()
        self.answer = answer
        return answer


def score(
    model: nn.Module, prompts: Sequence[Prompt], replies: Sequence[Sequence[int]], pad: int
) -> SharedScores:
    """Score replies, (B,) lists of T tokens, to prompts, (B,). The scores are 0 after the end of a reply.

    Prompts are the same if they are the same object. Those of similar length are run together.
    """
    index_of = dict[tuple[int, tuple[int, ...]], int]()
    rows = list[int]()  # (U,): the first of the replies that are equal
    same = list[int]()  # (B,): which of the U each is equal to
    for row, (prompt, ids) in enumerate(zip(prompts, replies, strict=True)):
        key = (id(prompt), tuple(ids))
        if key not in index_of:
            index_of[key] = len(rows)
            rows.append(row)
        same.append(index_of[key])
    longest = max(map(len, replies))
    lengths = [len(prompts[row].tokens["input_ids"]) for row in rows]
    order = list[int]()  # (U,), as they are run
    log_probs = list[Tensor]()
    entropies = list[Tensor]()
    for indices in of_similar_length(lengths, len(rows)):
        batch_prompts = [prompts[rows[index]] for index in indices]
        batch_replies = [replies[rows[index]] for index in indices]
        scores = _score_batch(model, batch_prompts, batch_replies, pad)
        order += indices
        log_probs.append(_fitted(scores.log_probs, longest))
        entropies.append(_fitted(scores.entropy, longest))
    place = torch.tensor(order).argsort()[torch.tensor(same)].to(log_probs[0].device)  # (B,)
    return SharedScores(torch.cat(log_probs)[place], torch.cat(entropies)[place])


def _score_batch(
    model: nn.Module, prompts: Sequence[Prompt], replies: Sequence[Sequence[int]], pad: int
) -> SharedScores:
    """Score replies in one batch, with each prompt run once."""
    index_of = dict[int, int]()  # by the identity of the prompt
    shown = list[Prompt]()  # (P,)
    for prompt in prompts:
        if id(prompt) not in index_of:
            index_of[id(prompt)] = len(shown)
            shown.append(prompt)
    device = prompts[0].tokens["input_ids"].device
    prompt_of = torch.tensor([index_of[id(prompt)] for prompt in prompts], device=device)  # (B,)
    tokens = [torch.tensor(ids, device=device) for ids in replies]
    ids = pad_sequence(tokens, batch_first=True, padding_value=pad)  # (B, T)
    mask = pad_sequence(list(map(torch.ones_like, tokens)), batch_first=True)  # (B, T)
    log_probs, entropies = of_groups(model, collate(shown, pad), prompt_of, ids, mask)
    return SharedScores(log_probs.masked_fill(mask == 0, 0), entropies.masked_fill(mask == 0, 0))


def _fitted(values: Tensor, length: int) -> Tensor:
    """Cut rows to a length, (B, length), or fill them with zeros."""
    return filled(values, (0, length - values.shape[1]))
