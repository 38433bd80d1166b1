"""The tokens of a perception, and advantages within a group.

GRPO gives every token of a reply the same advantage (arXiv:2402.03300, equation 3), so that the perception is
blamed for the play. `advantages` spreads the advantages of a group over sections in its place.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import torch

BEGIN, END = "<perception>", "</perception>"


def seen(tokenizer: Any, replies: Sequence[Sequence[int]]) -> list[int]:
    """Count the tokens of each reply up to the end of its perception; 0 where it begins with none."""
    # Most replies of a group are written several times, and more of them begin with the same perception.
    counts, lengths = dict[tuple[int, ...], int](), set[int]()
    for ids in map(tuple, replies):
        if ids in counts:
            continue
        known = next((count for length in lengths if (count := counts.get(ids[:length]))), None)
        count = counts[ids] = _count(tokenizer, ids) if known is None else known
        if count:
            counts[ids[:count]] = count
            lengths.add(count)
    return [counts[tuple(ids)] for ids in replies]


def _count(tokenizer: Any, ids: tuple[int, ...]) -> int:
    words = tokenizer.decode(ids)
    if not words.lstrip().startswith(BEGIN) or END not in words:
        return 0
    return 1 + bisect_left(range(len(ids)), True, key=lambda end: END in tokenizer.decode(ids[: end + 1]))


def centred(rewards: torch.Tensor, group: int, scaled: bool) -> torch.Tensor:
    """Take each group's mean from its rewards, (B,), and divide by its spread if they are to be scaled."""
    grouped = rewards.view(-1, group)
    advantages = grouped - grouped.mean(dim=1, keepdim=True)
    if scaled:
        advantages = advantages / (grouped.std(dim=1, keepdim=True) + 1e-4)
    return advantages.view(-1)
