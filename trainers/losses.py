"""The second loss of GRPO, an anchor against forgetting: cross-entropy on known replies, as in a cold start.

A reward is one number for a whole board, and training on it degrades perception. But the scene of
every position is known, so its true perception can be learned beside the reward; so can the whole reply of
the game's teacher, or a row of the cold start (the PTX term of arXiv:2203.02155, equation 2, and of Kimi K2).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformers import ProcessorMixin

from vlm_gym.dice import Dice
from vlm_gym.prompt import solution
from vlm_gym.rollouts.policy import Request

from .models.encoding import OF_TOKENS, Prompt, collate
from .models.processors import opening

Source = Literal["perception", "teacher", "cold_start"]
_STREAM = 0xA2C402
"""Salt of the seed, so that the sampling of rows has its own random stream."""


class SFTExample(NamedTuple):
    """A request and a known reply, the target of the cross-entropy."""

    request: Request
    text: str
    whole: bool
    """Whether the reply ends there; else more would follow."""
    prompt: Prompt | None = None
    """The request as the model reads it, where it was prepared before."""


def perception(request: Request, prompt: Prompt | None = None) -> SFTExample:
    """Return the true perception of a position as an example. It does not teach play."""
    scene = request.game.scene(request.state)
    return SFTExample(request, f"<perception>{scene.describe()}</perception>", False, prompt)


def teacher(request: Request, prompt: Prompt | None = None) -> SFTExample:
    """Return the reply of the game's teacher as an example; the true perception where there is no teacher."""
    text = solution(request.game, request.state)
    return perception(request, prompt) if text is None else SFTExample(request, text, True, prompt)


def drawn(rows: Sequence[SFTExample], number: int, seed: int) -> SFTExample:
    """Draw a row of the cold start for the group of this number."""
    return rows[Dice(seed ^ _STREAM, number).below(len(rows))]


def count_tokens(processor: ProcessorMixin, examples: Sequence[SFTExample]) -> int:
    """Count the tokens of the replies of examples."""
    return sum(len(ids) for ids in reply_ids(processor, examples))


def encode_examples(
    processor: ProcessorMixin, examples: Sequence[SFTExample], prompts: Sequence[Prompt]
) -> dict[str, Tensor]:
    """Encode examples, (N, L), with ``labels`` on the tokens of their replies alone.

    The reply follows the prompt as tokens of its own, as in sampling: nothing merges with the prompt's last.
    """
    pad = processor.tokenizer.pad_token_id
    shown = collate(prompts, pad)  # (N, P) each, with P the longest prompt: L = P + T
    replies = [torch.tensor(ids) for ids in reply_ids(processor, examples)]
    ids = torch.nn.utils.rnn.pad_sequence(replies, batch_first=True, padding_value=pad)  # (N, T)
    mask = torch.nn.utils.rnn.pad_sequence(list(map(torch.ones_like, replies)), batch_first=True)  # (N, T)
    ids = ids.to(shown["input_ids"].device)
    mask = mask.to(shown["input_ids"].device)
    more = {"input_ids": ids, "attention_mask": mask}
    joined = dict[str, Tensor]()
    for name, value in shown.items():
        if name in OF_TOKENS:
            # Types of tokens are 0 for text, and a reply is text.
            joined[name] = torch.cat([value, more.get(name, torch.zeros_like(ids))], dim=1)
    # -100 is what cross-entropy ignores: the prompt, and the padding after a reply.
    labels = torch.cat([torch.full_like(shown["input_ids"], -100), ids.masked_fill(mask == 0, -100)], dim=1)
    return {**shown, **joined, "labels": labels}


def reply_ids(processor: ProcessorMixin, examples: Sequence[SFTExample]) -> list[list[int]]:
    """Return the tokens of the replies, with the token that ends a whole one."""
    tokenizer = processor.tokenizer
    start = opening(processor)
    texts = [start + example.text for example in examples]
    tokens: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    replies = list[list[int]]()
    for example, ids in zip(examples, tokens, strict=True):
        replies.append([*ids, tokenizer.eos_token_id] if example.whole else ids)
    return replies
