"""The second loss of GRPO: the true words for what is shown, whichever way a step is split."""

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import TASKS, Listener, asked, groups
from vlm_gym.trainers.learners.trl_learner import TrlLearner
from vlm_gym.trainers.losses import SFTExample, encode_examples, perception, reply_ids
from vlm_gym.trainers.models.encoding import encode_prompt
from vlm_gym.trainers.models.transformers_policy import encode_requests
from vlm_gym.trainers.recipe import Anchor

from vlm_gym.rollouts.policy import Request


def taught(processor: Any, requests: list[Request]) -> dict[str, Any]:
    """Encode the true perception of positions as the second loss does."""
    prompts = [encode_prompt(processor, request) for request in requests]
    return encode_examples(processor, list(map(perception, requests)), prompts)


def test_what_is_told_of_a_picture_are_the_true_words_after_the_very_prompt(trainer):
    made = trainer()
    requests = [asked(task, seed) for seed in range(2) for task in TASKS]
    shown = encode_requests(made.processing_class, requests)
    told = taught(made.processing_class, requests)
    assert torch.equal(told["pixel_values"], shown["pixel_values"])
    assert torch.equal(told["image_grid_thw"], shown["image_grid_thw"])
    for at, request in enumerate(requests):
        ids, labels = (told[name][at][told["attention_mask"][at].bool()] for name in ("input_ids", "labels"))
        truth = f"<perception>{request.game.scene(request.state).describe()}</perception>"
        assert made._tokenizer.decode(labels[labels >= 0]) == truth
        assert torch.equal(ids[labels < 0], shown["input_ids"][at][shown["attention_mask"][at].bool()])
        assert torch.equal(ids[labels >= 0], labels[labels >= 0])
        assert (labels[: (labels < 0).sum()] < 0).all()


def surprise(made: TrlLearner, requests: list[Request]) -> float:
    """Compute the cross entropy of the true words, one position at a time."""
    total, count = 0.0, 0
    for request in requests:
        shown = encode_requests(made.processing_class, [request])
        truth = f"<perception>{request.game.scene(request.state).describe()}</perception>"
        whole = encode_requests(made.processing_class, [request], [truth])
        first = shown["input_ids"].shape[1]
        with torch.no_grad():
            logits = made.model(**whole).logits[0, first - 1 : -1]
        wanted = whole["input_ids"][0, first:]
        total += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
        count += len(wanted)
    return total / count


@pytest.mark.parametrize("redraw", [0, 2])
def test_the_second_loss_is_the_cross_entropy_of_the_true_words(trainer, redraw):
    losses = {}
    for sight in (0.0, 0.5):
        torch.manual_seed(0)
        made = trainer(
            steps=1, anchor=Anchor(weight=sight), dynamic_sampling=redraw, trl={"learning_rate": 0.0}
        )
        heard = Listener(made)
        made.go_on(None)
        losses[sight] = heard.lines[0]["loss"]
    requests = [group[0].request for group in groups(heard.rows[0])]
    told = heard.lines[0]["anchor_loss"]
    assert told == pytest.approx(surprise(made, requests), rel=1e-4)
    assert losses[0.5] - losses[0.0] == pytest.approx(0.5 * told, rel=1e-3)
    assert told > 1


@pytest.mark.parametrize("micro", [4, 2])
def test_a_second_loss_in_small_batches_adds_up_to_the_same_step(trainer, micro):
    smaller, lines = replace(TASKS[0], reasoning="3"), []
    for size in (16, micro):
        trl = {"per_device_train_batch_size": size, "loss_type": "dr_grpo"}
        made = trainer(tasks=(smaller, TASKS[1]), steps=1, anchor=Anchor(weight=1.0), trl=trl)
        heard = Listener(made)
        made.go_on(None)
        lines += heard.lines
    for name in ("anchor_loss", "loss", "grad_norm"):
        assert lines[1][name] == pytest.approx(lines[0][name], rel=1e-3), name


@pytest.mark.parametrize("trl", [{"steps_per_generation": 2}, {"num_iterations": 2}])
def test_a_second_loss_tells_every_position_once_a_pass(trainer, monkeypatch, trl):
    made = trainer(steps=2, anchor=Anchor(weight=1.0), trl={"per_device_train_batch_size": 16, **trl})
    heard = Listener(made)
    told: list[Request] = []

    def noted(processor: Any, examples: list[SFTExample]) -> list[list[int]]:
        told.extend(example.request for example in examples)
        return reply_ids(processor, examples)

    monkeypatch.setattr("vlm_gym.trainers.learners.shared_scorer.reply_ids", noted)
    made.go_on(None)
    positions = [group[0].request for group in groups(heard.rows[-1])]
    passes = len(told) // len(positions)
    assert passes == (2 if "num_iterations" in trl else 1)
    assert sorted(map(positions.index, told)) == sorted([*range(len(positions))] * passes)
