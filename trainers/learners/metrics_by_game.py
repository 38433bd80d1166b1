"""TRL's metrics of the tokens of replies, by game: entropy, KL divergence, and the clip ratio.

A mean over several games hides one whose entropy collapses or whose policy drifts.
"""

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from trl import GRPOConfig

from .tensors import Batch

CLIPPING = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")
"""Losses of TRL that clip as PPO does."""


class MetricsByGame:
    """Sums over tokens by game, until they are logged."""

    def __init__(self, games: Sequence[str]) -> None:
        self._games = games
        self._sums = dict[str, torch.Tensor]()

    def add(self, numbers: Mapping[str, torch.Tensor], mask: torch.Tensor, games: Sequence[str]) -> None:
        """Add numbers of tokens, (B, T), where a mask has ones; `games`, (B,), are their names."""
        indices = torch.tensor([self._games.index(game) for game in games], device=mask.device)
        # (games, B): 1 where a row is of the game, so that a product sums over the rows of each game.
        game_of_row = torch.nn.functional.one_hot(indices, len(self._games)).T.float()
        count = game_of_row @ mask.sum(dim=1).float()
        for name, values in numbers.items():
            # (2, games): the sum over tokens, and their number.
            sums = torch.stack([game_of_row @ values.float().masked_fill(mask == 0, 0).sum(dim=1), count])
            self._sums[name] = self._sums.get(name, 0) + sums

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Return means over all processes as ``GAME/NAME``, and reset the sums."""
        metrics = dict[str, float]()
        for name, sums in self._sums.items():
            totals, counts = accelerator.reduce(sums, reduction="sum").tolist()
            for game, total, count in zip(self._games, totals, counts, strict=True):
                if count:
                    metrics[f"{game}/{name}"] = total / count
        self._sums.clear()
        return metrics


def of_tokens(
    args: GRPOConfig, inputs: Batch, logps: torch.Tensor, entropies: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Compute TRL's metrics of tokens, (B, T) each, from their log-probabilities and entropies.

    Inputs without old log-probabilities are on-policy: the ratio is 1 and nothing is clipped.
    """
    numbers = {"entropy": entropies}
    before = inputs.get("old_per_token_logps")
    first = inputs.get("ref_per_token_logps")
    change = torch.zeros_like(logps) if before is None else logps - before
    if args.importance_sampling_level == "sequence":
        mask = inputs["completion_mask"]
        # (B, 1): the mean over the tokens of a reply, as in GSPO (arXiv:2507.18071).
        change = (change * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    ratio = change.exp().expand_as(logps)
    if first is not None:  # the estimator k3 of http://joschu.net/blog/kl-approx.html
        gap = first - logps
        divergence = gap.exp() - 1 - gap
        numbers["kl"] = divergence * ratio if args.use_bias_correction_kl else divergence
    if args.loss_type in CLIPPING:
        advantages = inputs["advantages"].view(len(logps), -1)  # (B, 1) or (B, T)
        high = args.epsilon if args.epsilon_high is None else args.epsilon_high
        # Clipped tokens are those whose change has gone far enough in the direction of their advantage.
        worse = (ratio < 1 - args.epsilon) & (advantages < 0)
        better = (ratio > 1 + high) & (advantages > 0)
        numbers["clip_ratio"] = worse | better
    return numbers
