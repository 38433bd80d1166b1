"""What TRL logs of completions and rewards, by its names, from completions that we made."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from trl import GRPOTrainer

from ..distributed import everyone
from ..learner import Completion


def log_lengths(trainer: GRPOTrainer, completions: Sequence[Completion]) -> None:
    """Log the numbers of tokens of a sampling, over all processes."""
    metrics = trainer._metrics["train"]
    accelerator = trainer.accelerator
    ends = {*trainer.eos_token_ids, trainer._tokenizer.pad_token_id}
    mine = list[list[int]]()
    for each in completions:
        cut_off = each.ids[-1] not in ends
        mine.append([len(each.prompt.tokens["input_ids"]), len(each.ids), int(cut_off)])
    every = accelerator.gather(torch.tensor(mine, device=accelerator.device))  # (processes * B, 3)
    lengths = every[:, 1].float()
    cut = every[:, 2].bool()
    trainer.state.num_input_tokens_seen += int(every[:, :2].sum())
    metrics["num_tokens"] = [trainer.state.num_input_tokens_seen]
    ended = lengths[~cut] if not cut.all() else torch.zeros(1)
    for name, values in (("", lengths), ("terminated_", ended)):
        metrics[f"completions/mean_{name}length"].append(values.mean().item())
        metrics[f"completions/min_{name}length"].append(values.min().item())
        metrics[f"completions/max_{name}length"].append(values.max().item())
    metrics["completions/clipped_ratio"].append(cut.float().mean().item())


def log_rewards(
    trainer: GRPOTrainer, completions: Sequence[Completion], weights: Mapping[str, float], group: int
) -> None:
    """Log mean and standard deviation of the reward and of its terms, over all processes."""
    metrics = trainer._metrics["train"]
    accelerator = trainer.accelerator
    rows = list[list[float]]()
    for each in completions:
        rows.append([each.terms[name] for name in weights])
    mine = torch.tensor(rows)  # (B, K)
    terms = accelerator.gather(mine.to(accelerator.device))  # (processes * B, K)
    for column, name in enumerate(weights):
        metrics[f"rewards/{name}/mean"].append(terms[:, column].mean().item())
        metrics[f"rewards/{name}/std"].append(terms[:, column].std().item())
    rewards = (terms * torch.tensor(list(weights.values()), device=terms.device)).sum(dim=1)
    # Processes have whole groups, so that groups stand together after the gathering, too.
    spread = rewards.view(-1, group).std(dim=1)
    metrics["reward"].append(rewards.mean().item())
    metrics["reward_std"].append(rewards.std().item())
    equal = torch.isclose(spread, torch.zeros_like(spread))
    metrics["frac_reward_zero_std"].append(equal.float().mean().item())


def log_numbers(trainer: GRPOTrainer, numbers: Mapping[str, Sequence[float]]) -> None:
    """Log numbers by name, as means over all processes."""
    sums = dict[str, float]()
    counts = dict[str, int]()
    own = dict[str, tuple[float, int]]()
    for name, values in numbers.items():
        own[name] = (sum(values), len(values))
    for process in everyone([own]):
        for name, (total, count) in process.items():
            sums[name] = sums.get(name, 0.0) + total
            counts[name] = counts.get(name, 0) + count
    for name, total in sums.items():
        trainer._metrics["train"][name].append(total / counts[name])


def log_table(trainer: GRPOTrainer, completions: Sequence[Completion], weights: Mapping[str, float]) -> None:
    """Keep prompts, completions, terms and advantages for TRL's table, if ``log_completions`` is set."""
    if not trainer.log_completions:
        return
    rows = []
    for each in completions:
        reply = [{"role": "assistant", "content": each.text}]
        advantage = 0.0 if each.advantages is None else each.advantages.mean().item()
        pictures = None
        if trainer.log_multimodal:
            pictures = [Image.fromarray(frame) for frame in each.prompt.frames]
        rows.append((each.request.messages(), reply, dict(each.terms), advantage, pictures))
    logs: Any = trainer._logs  # a dict of columns, of which one is a dict itself
    for messages, reply, terms, advantage, pictures in everyone(rows):
        logs["prompt"].append(messages)
        logs["completion"].append(reply)
        logs["advantages"].append(advantage)
        for name in weights:
            logs["rewards"][name].append(terms[name])
        if pictures is not None:
            logs["images"].append(pictures)
