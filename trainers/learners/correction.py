"""The correction for replies that another engine has sampled (truncated importance sampling), as in TRL 1.16.

vLLM's log-probabilities differ from those of the model that learns. The loss of a token or a reply is
multiplied by the ratio pi_learner / pi_sampler, clipped (``truncate``) or dropped (``mask``).
"""

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import nanmax, nanmin, pad

from ..learner import Completion


def sampled_logprobs(
    completions: Sequence[Completion], multiple: int | None, device: torch.device
) -> Tensor | None:
    """Pad the sampler's log-probabilities to (B, T), with NaN where it could not score a token.

    None where the sampler returns none at all.
    """
    if completions[0].logprobs is None:
        return None
    rows = []
    for completion in completions:
        values = [torch.nan if value is None else value for value in completion.logprobs or ()]
        rows.append(torch.tensor(values))
    together: Tensor = pad(rows, padding_value=0, padding_side="right", pad_to_multiple_of=multiple)
    return together.to(device)


def importance_ratio(args: GRPOConfig, old: Tensor, sampled: Tensor, mask: Tensor) -> Tensor:
    """Compute the ratio, (B, T) by token or (B, 1) by sequence; it is 1 for tokens that were not scored."""
    difference = torch.nan_to_num((old - sampled) * mask, nan=0.0)  # (B, T), of logarithms
    mode = args.vllm_importance_sampling_mode
    lowest = args.vllm_importance_sampling_clip_min
    highest = args.vllm_importance_sampling_clip_max
    if mode.startswith("sequence"):  # the ratio of a sequence is the product of those of its tokens
        difference = difference.sum(dim=-1, keepdim=True)
    ratio = difference.exp()
    if mode.endswith("truncate"):
        return ratio.clamp(min=lowest, max=highest)
    outside = (ratio < (-inf if lowest is None else lowest)) | (ratio > (inf if highest is None else highest))
    return ratio.masked_fill(outside, 0.0)


def log_correction(trainer: GRPOTrainer, old: Tensor, sampled: Tensor, ratio: Tensor, mask: Tensor) -> None:
    """Log how far the sampler is from the learner, by TRL's names."""
    metrics = trainer._metrics["train"]
    gather = trainer.accelerator.gather
    present = mask.bool()
    gap = (old - sampled).abs()  # (B, T), NaN where the sampler could not score a token
    gap = gap[present & ~gap.isnan()]
    nothing = torch.tensor(0.0, device=old.device)  # every process has to take part in `gather`
    mean_gap = gap.mean() if len(gap) else nothing
    largest_gap = gap.max() if len(gap) else nothing
    metrics["sampling/sampling_logp_difference/mean"].append(gather(mean_gap).mean().item())
    metrics["sampling/sampling_logp_difference/max"].append(gather(largest_gap).max().item())
    flat = ratio[present] if ratio.shape == mask.shape else ratio.flatten()
    smallest, mean, largest = (flat.min(), flat.mean(), flat.max()) if len(flat) else (nothing,) * 3
    metrics["sampling/importance_sampling_ratio/min"].append(nanmin(gather(smallest)).item())
    metrics["sampling/importance_sampling_ratio/mean"].append(gather(mean).nanmean().item())
    metrics["sampling/importance_sampling_ratio/max"].append(nanmax(gather(largest)).item())
