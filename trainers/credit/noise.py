"""Noise of the policy gradient by estimator: how far the gradients of two half batches are apart.

A model samples two batches of plays of equal size. With each batch's gradient g of the policy-gradient loss
-mean_it A_it log pi(o_it), the noise is ||g1 - g2|| / ||g1 + g2||: 0 if both agree, about 1 if they share no
direction. It does not depend on the scale of the advantages.

``python -m vlm_gym.trainers.credit.noise configs/turn_credit.toml assets/models/tiny`` prints a line
for each estimator.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import settings
from ..grpo import GrpoMethod
from ..learner import Completion, Learner
from ..learners.shared_scorer import score
from ..learners.tensors import advantages_of
from ..losses import SFTExample
from ..models.prepare import ready
from ..recipe import Model, Recipe, Table, load_recipe
from ..train import reinforce

CREDIT_SETTINGS: dict[str, Table] = {
    "turn": {"turns": "one"},
    "solver": {"turns": "one"},
    "return": {},
    "gigpo": {},
    "graph": {},
    "ahead": {"ahead": 3},
}
"""What each `turn_credit` changes in the recipe."""
PAIRS = 8


class Collector:
    """A learner that samples with another one and keeps the batch in place of learning from it."""

    def __init__(self, learner: Learner) -> None:
        self.sample = learner.sample
        self.batch: list[Completion] = []

    def update(
        self,
        batch: Sequence[Completion],
        numbers: Mapping[str, Sequence[float]],
        examples: Sequence[SFTExample] = (),
    ) -> None:
        """Keep the batch, (B,)."""
        self.batch = list(batch)

    def save(self, folder: Path) -> None:
        """Write nothing."""

    def load(self, folder: Path) -> None:
        """Read nothing."""


def with_estimator(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe whose turns are credited by another estimator."""
    assert recipe.grpo is not None
    changes = {"ahead": 0, "turn_credit": name, **CREDIT_SETTINGS[name]}
    return replace(recipe, grpo=replace(recipe.grpo, **changes))


def gradient(model: nn.Module, batch: Sequence[Completion], pad: int) -> Tensor:
    """Compute the gradient of -mean A log pi over the tokens of a batch, as one vector."""
    model.zero_grad()  # gradients of the batch before would be added
    prompts = [each.prompt for each in batch]
    replies = [each.ids for each in batch]
    logprobs = score(model, prompts, replies, pad).log_probs  # (B, T), 0 after the end of a reply
    advantages = advantages_of(batch, logprobs.shape[1], torch.device("cpu"))  # (B,) or (B, T)
    if advantages.ndim == 1:
        advantages = advantages[:, None]
    loss = -(advantages * logprobs).sum() / sum(map(len, replies))
    loss.backward()
    parts = []
    for weights in model.parameters():
        # Weights that no reply depends on have no gradient; vectors of all batches have equal lengths.
        part = weights.grad if weights.grad is not None else torch.zeros_like(weights)
        parts.append(part.flatten())
    return torch.cat(parts)


def noise(recipe: Recipe, name: str, start: Path, pairs: int = PAIRS) -> float:
    """Return the mean noise of an estimator over pairs of half batches, with the model at `start`.

    Raises `ValueError` for a pair without a gradient, as of a model whose replies all earn the same.
    """
    asked = with_estimator(recipe, name)
    assert asked.grpo is not None
    torch.manual_seed(recipe.seed)
    model, processor, options = ready(Model(path=str(start)), start)
    with tempfile.TemporaryDirectory() as folder:
        args = settings.grpo(asked, Path(folder))
        learner = reinforce(asked, model, processor, args, **options)
    method = GrpoMethod(asked, learner.num_generations, processor.tokenizer)
    collector = Collector(learner)
    half = asked.grpo.prompts_per_step
    distances = []
    for pair in range(pairs):
        gradients = []
        for side in (0, 1):  # the two half batches have different start states
            first = (2 * pair + side) * half
            method.step(collector, range(first, first + half))
            gradients.append(gradient(learner.model, collector.batch, processor.tokenizer.pad_token_id))
        one, other = gradients
        if not (one.any() or other.any()):
            raise ValueError(f"{start} has no gradient by {name}: the replies of every group earn the same")
        distances.append(float((one - other).norm() / (one + other).norm()))
    return sum(distances) / len(distances)


def main() -> None:
    """Read the command line and print the noise of each estimator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe", type=Path, help="a recipe with [grpo] and turns of 2 or more")
    parser.add_argument("model", type=Path, help="the folder of a model that samples")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    try:
        recipe = load_recipe(asked.recipe, [f"seed={asked.seed}"])
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        for name in CREDIT_SETTINGS:
            sys.stdout.write(f"{name}: {noise(recipe, name, asked.model):.2f}\n")
            sys.stdout.flush()
    except ValueError as error:
        sys.exit(f"noise.py: {error}")


if __name__ == "__main__":
    main()
