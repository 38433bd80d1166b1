"""Advantages: pure functions from rewards to a number for each reply or token.

A reply has three sections. The perception answers for its own terms alone. The thought answers for its own
terms and for what it led to, the play; the answer answers for the play. With a weight of 0 for the term of
the thought, the thought and the answer share one advantage. By sentence, the tokens of a sentence answer for
its truth, less the mean truth of all sentences of the group, in place of the term of the thought.

B replies in groups of G that stand together; T tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vlm_gym.thought import Sentence

from .sections import Spans

EPSILON = 1e-4
"""What is added to a spread before it divides, as in TRL."""


def by_group(rewards: Tensor, group: int, scaled: bool) -> Tensor:
    """Subtract the mean of each group from its rewards, (B,); divide by its standard deviation if `scaled`.

    Source: arXiv:2402.03300, equation 3; without division arXiv:2503.20783 (Dr. GRPO).
    """
    grouped = rewards.view(-1, group)  # (B / G, G)
    advantages = grouped - grouped.mean(dim=1, keepdim=True)
    if scaled:
        advantages = advantages / (grouped.std(dim=1, keepdim=True) + EPSILON)
    return advantages.view(-1)


def spread_by_task(advantages: Tensor, tasks: Tensor, count: int) -> Tensor:
    """Compute the root mean square of the advantages, (B,), of each of `count` tasks; 1 without any."""
    spread = torch.ones(count, device=advantages.device)
    for task in tasks.unique():
        spread[task] = advantages[tasks == task].square().mean().sqrt() + EPSILON
    return spread


def by_term(terms: Tensor, weights: Tensor, group: int) -> Tensor:
    """Compare each term, (B, K), in its group, and sum by weights, (K,), to (B,).

    Source: arXiv:2601.05242 (GDPO), before the division by the spread of the batch, which is `over_batch`.
    """
    grouped = terms.view(-1, group, terms.shape[1])  # (B / G, G, K)
    centered = grouped - grouped.mean(dim=1, keepdim=True)
    scaled = centered / (grouped.std(dim=1, keepdim=True) + EPSILON)
    return scaled.view(terms.shape) @ weights  # (B, K) @ (K,)


def over_batch(advantages: Tensor, every: Tensor) -> Tensor:
    """Compare advantages, (B,), with `every` one of the step: less the mean, over the standard deviation."""
    return (advantages - every.mean()) / (every.std() + EPSILON)


def by_sections(
    perception: Tensor, thought: Tensor, answer: Tensor, spans: Sequence[Spans], length: int
) -> Tensor:
    """Spread the advantages of three sections, (B,) each, over the tokens of replies, (B, length)."""
    # Ends of sections, (B, 1), against indices of tokens, (1, length): each comparison is (B, length).
    perception_ends = torch.tensor([row.perception for row in spans], device=answer.device)[:, None]
    thought_ends = torch.tensor([row.thought for row in spans], device=answer.device)[:, None]
    indices = torch.arange(length, device=answer.device)[None, :]
    after = torch.where(indices < thought_ends, thought[:, None], answer[:, None])
    return torch.where(indices < perception_ends, perception[:, None], after)


def by_sentences(
    graded: Sequence[Sequence[Sentence]], spans: Sequence[Spans], group: int, length: int
) -> Tensor:
    """Compute the advantages of sentences, (B, length): truth less the mean truth of the group's sentences.

    Truth is 1 for a true sentence at its first occurrence, else 0. Tokens outside sentences get 0.
    """
    advantages = torch.zeros(len(graded), length)
    for first in range(0, len(graded), group):
        rows = range(first, first + group)
        truths = list[float]()  # of all sentences of the group
        for row in rows:
            for sentence in graded[row]:
                truths.append(float(sentence.kind == "true"))
        if not truths:
            continue
        # One mean for the group, not for each reply: a thought with fewer false sentences than others gains.
        mean = sum(truths) / len(truths)
        for row in rows:
            start = spans[row].opened
            for sentence, end in zip(graded[row], spans[row].sentences, strict=True):
                advantages[row, start:end] = float(sentence.kind == "true") - mean
                start = end
    return advantages
