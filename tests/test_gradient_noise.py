"""Noise of the policy gradient by estimator, with a tiny model that plays two games."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from vlm_gym.trainers import settings
from vlm_gym.trainers.credit.noise import Collector, gradient, noise, with_estimator
from vlm_gym.trainers.learner import Completion
from vlm_gym.trainers.models.encoding import OF_TOKENS
from vlm_gym.trainers.models.prepare import ready
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import encode_requests
from vlm_gym.trainers.recipe import Grpo, Model, Recipe, Task
from vlm_gym.trainers.train import reinforce

TASKS = tuple(Task(game=game, reasoning="0", perception="level=0,size=128") for game in ("2048", "swap"))
RECIPE = Recipe(
    task=TASKS,
    threads=1,
    grpo=Grpo(
        prompts_per_step=4,
        reward="goal",
        turns=4,
        turn_credit="graph",
        advantage_by="section",
        trl={"num_generations": 2, "max_completion_length": 8},
    ),
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build_model(folder, [(task.game, task.reasoning) for task in TASKS], width=64, depth=2)
    return folder


def one_by_one(model: torch.nn.Module, processor: object, batch: Sequence[Completion]) -> torch.Tensor:
    """Compute the gradient of -mean A log pi, one reply at a time, as a plain forward pass has it."""
    model.zero_grad()
    count = sum(len(each.ids) for each in batch)
    for each in batch:
        shown = encode_requests(processor, [each.request])
        reply = torch.tensor([each.ids])
        whole = dict(shown)
        for name in OF_TOKENS:
            if name in shown:
                added = {"input_ids": reply, "attention_mask": torch.ones_like(reply)}
                whole[name] = torch.cat([shown[name], added.get(name, torch.zeros_like(reply))], dim=1)
        logits = model(**whole, logits_to_keep=len(each.ids) + 1).logits[0, :-1]
        logprobs = logits.log_softmax(-1).gather(1, reply.T)[:, 0]  # (T,)
        loss = -(each.advantages * logprobs).sum() / count
        loss.backward()
    return torch.cat([weights.grad.flatten() for weights in model.parameters()])


def test_the_gradient_of_a_batch_is_that_of_its_replies_one_by_one(start: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, processor, options = ready(Model(path=str(start)), start)
    args = settings.grpo(RECIPE, tmp_path)
    learner = reinforce(RECIPE, model, processor, args, **options)
    collector = Collector(learner)
    learner.method.step(collector, range(4))
    batch = []
    for number, each in enumerate(collector.batch):  # an untrained model earns the same everywhere
        batch.append(replace(each, advantages=torch.linspace(-1, 1, len(each.ids)) + number))
    found = gradient(learner.model, batch, processor.tokenizer.pad_token_id)
    torch.testing.assert_close(found, one_by_one(learner.model, processor, batch), rtol=1e-3, atol=1e-5)
    assert found.any()


@pytest.mark.parametrize("name", ["graph", "ahead"])
def test_noise_is_the_same_for_a_seed_and_does_not_depend_on_the_scale_of_rewards(
    start: Path, name: str
) -> None:
    assert RECIPE.grpo is not None
    weights = {"game": 1.0, "format": 0.0, "perception": 1.0, "thought": 0.0}
    one = replace(RECIPE, grpo=replace(RECIPE.grpo, weights=weights, scale="none"))
    doubled = {term: 2 * weight for term, weight in weights.items()}
    two = replace(RECIPE, grpo=replace(RECIPE.grpo, weights=doubled, scale="none"))
    assert with_estimator(one, name).grpo.turn_credit == name
    found = noise(one, name, start, pairs=1)
    assert found == noise(one, name, start, pairs=1)
    assert found == pytest.approx(noise(two, name, start, pairs=1), rel=1e-3)


def test_a_model_without_a_gradient_is_an_error_in_words(start: Path) -> None:
    """An untrained model has no legal reply, so the first replies to a state all earn the same."""
    with pytest.raises(ValueError, match="has no gradient by turn: the replies of every group earn the same"):
        noise(RECIPE, "turn", start, pairs=1)
