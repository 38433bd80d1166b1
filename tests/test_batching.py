"""Prompts of similar length are batched together, and each request gets its own reply."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from families import TASKS, asked, recipe
from vlm_gym.trainers import settings
from vlm_gym.trainers.models.batching import of_similar_length
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import Transformers, load_model
from vlm_gym.trainers.train import reinforce

MIXED = [asked(1), asked(2, turns=8), asked(3, TASKS[1]), asked(4, turns=8), asked(5, turns=2)]
"""Requests with 1, 3 and 9 pictures."""


def test_prompts_of_similar_length_stay_in_one_batch_and_in_order() -> None:
    assert of_similar_length([44, 43, 60, 43], 8) == [[0, 1, 2, 3]]


def test_no_prompt_of_a_batch_is_over_twice_as_long_as_another() -> None:
    assert of_similar_length([81, 900, 40, 500, 80, 81], 8) == [[2, 4], [0, 5], [1, 3]]


def test_a_batch_has_at_most_so_many_prompts() -> None:
    assert of_similar_length([5, 5, 5, 5, 5], 2) == [[0, 1], [2, 3], [4]]


def test_nothing_to_batch_is_no_batch() -> None:
    assert of_similar_length([], 4) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    build_model(folder, [(task.game, task.reasoning) for task in TASKS], width=64, depth=2)
    yield folder
    torch.set_num_threads(threads)


def test_a_policy_replies_to_requests_of_all_lengths_as_to_each_alone(folder: Path) -> None:
    policy = Transformers(str(folder), max_tokens=12, device="cpu")
    heard = list[int]()
    policy.on_reply = lambda request, reply: heard.append(request.state.seed)
    together = policy.act(MIXED)
    for request, reply in zip(MIXED, together, strict=True):
        assert policy.act([request]) == [reply]
    assert len(set(together)) > 1  # replies that differ, so that their order is seen
    assert heard[: len(MIXED)] == [1, 3, 5, 2, 4]  # short prompts first


def test_grpo_samples_replies_to_requests_of_all_lengths_as_to_each_alone(
    folder: Path, tmp_path: Path
) -> None:
    model, processor = load_model(folder)
    nearly_greedy = recipe(temperature=1e-4)
    learner = reinforce(nearly_greedy, model, processor, settings.grpo(nearly_greedy, tmp_path))
    together = learner.sample(MIXED, 2)
    assert [group[0].request for group in together] == MIXED
    for request, group in zip(MIXED, together, strict=True):
        (alone,) = learner.sample([request], 2)
        for one, other in zip(group, alone, strict=True):
            assert list(one.ids) == list(other.ids)
