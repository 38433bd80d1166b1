"""The table of reward terms: names, weights, third-party terms, and terms that are no numbers."""

import re
from importlib import metadata
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from vlm_gym.trainers import rewards
from vlm_gym.trainers.advantages import by_group, by_term, over_batch, spread_by_task
from vlm_gym.trainers.recipe import Grpo, Recipe, Task
from vlm_gym.trainers.rewards import Graded, Term, all_terms, grade_completion

from vlm_gym.config import build
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Request

TASK = Task(game="2048", reasoning="0")


def asked() -> Request:
    return TASK.request(find("2048").start(0, TASK.knobs))


def brevity(graded: Graded) -> float:
    return 1.0 / (1 + len(graded.reply.action or ""))


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Offer a term as an installed package does."""

    def offered(name: str, term: Any) -> None:
        class Entry:
            value = "somewhere:TERM"

            def load(self) -> Any:
                return term

        entry: Any = Entry()
        entry.name = name
        monkeypatch.setattr(rewards, "entry_points", lambda group: [entry] if group == rewards.GROUP else [])
        all_terms.cache_clear()

    yield offered
    monkeypatch.undo()
    all_terms.cache_clear()


def test_entry_points_are_read_by_the_function_that_is_replaced_here() -> None:
    assert rewards.entry_points is metadata.entry_points


def test_weights_that_are_left_out_are_those_of_the_table() -> None:
    assert Grpo().weights == {"game": 1, "format": 1, "perception": 0, "thought": 0}
    assert Grpo(weights={"thought": 2.0}).weights == {"game": 1, "format": 1, "perception": 0, "thought": 2}


def test_an_unknown_term_is_refused_with_the_nearest_one() -> None:
    data = {"task": [{"game": "2048"}], "grpo": {"weights": {"percepton": 1}}}
    with pytest.raises(
        ValueError, match=r"grpo\.weights: unknown reward term 'percepton' .did you mean"
    ) as error:
        build(Recipe, data)
    assert str(error.value).endswith("terms: game, format, perception, thought")
    with pytest.raises(ValueError, match=r"grpo\.weights\.game='much' is not possible; .* a number"):
        build(Recipe, {**data, "grpo": {"weights": {"game": "much"}}})


def test_a_term_of_another_package_is_counted_and_weighed(offer: Any) -> None:
    offer("brevity", Term(brevity, 0.5))
    assert list(all_terms()) == ["game", "format", "perception", "thought", "brevity"]
    weights = Grpo(weights={"format": 0.0}).weights
    assert weights["brevity"] == 0.5
    earned = grade_completion(asked(), "<answer>left</answer>")
    assert earned.terms["brevity"] == 1 / 5
    assert earned.reward(weights) == pytest.approx(earned.terms["game"] + 0.5 / 5)
    assert earned.reward(weights, ("perception",)) == 0


def test_a_term_answers_with_the_section_that_it_names(offer: Any) -> None:
    offer("brevity", Term(brevity, 0.5, "perception"))
    earned = grade_completion(asked(), "<answer>left</answer>")
    assert earned.reward(Grpo().weights, ("perception",)) == pytest.approx(0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [0.5]])
def test_a_term_that_is_no_finite_number_is_an_error_in_one_line(offer: Any, value: Any) -> None:
    offer("odd", Term(lambda graded: value, 1.0))
    with pytest.raises(
        ValueError, match=re.escape(f"the reward term 'odd' is {value} for a reply to 2048: 'left'; a term")
    ) as error:
        grade_completion(asked(), "left")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "term", "words"),
    [
        ("game", Term(brevity, 1.0), "there are two reward terms 'game'; the second is somewhere:TERM"),
        (
            "brevity",
            brevity,
            "the reward term 'brevity' of somewhere:TERM is no vlm_gym.trainers.rewards.Term",
        ),
    ],
)
def test_a_term_that_cannot_be_used_is_refused_by_name(offer: Any, name: str, term: Any, words: str) -> None:
    offer(name, term)
    with pytest.raises(ValueError, match=words):
        all_terms()


def test_advantages_of_a_group_are_those_of_the_equation() -> None:
    rewards_of_two = torch.tensor([1.0, 3.0, 5.0, 5.0])
    assert by_group(rewards_of_two, 2, scaled=False).tolist() == [-1, 1, 0, 0]
    scaled = by_group(rewards_of_two, 2, scaled=True)
    torch.testing.assert_close(scaled, torch.tensor([-1, 1, 0, 0]) / (2**0.5 + 1e-4))


def test_the_spread_of_a_task_is_the_root_mean_square_of_its_advantages() -> None:
    advantages, tasks = torch.tensor([3.0, -3.0, 4.0, 0.0]), torch.tensor([0, 0, 2, 2])
    torch.testing.assert_close(
        spread_by_task(advantages, tasks, 3), torch.tensor([3.0, 1.0, 8**0.5]) + torch.tensor([1e-4, 0, 1e-4])
    )


def test_terms_are_compared_one_by_one_before_they_are_weighed() -> None:
    terms = torch.tensor([[0.0, 100.0], [1.0, 300.0], [2.0, 0.0], [2.0, 0.0]])  # (B, K)
    sums = by_term(terms, torch.tensor([1.0, 0.5]), 2)
    unit = 1 / 2**0.5
    torch.testing.assert_close(sums, torch.tensor([-1.5, 1.5, 0, 0]) * unit, atol=1e-3, rtol=0)
    compared = over_batch(sums, sums)
    assert compared.mean() == pytest.approx(0, abs=1e-6)
    assert compared.std() == pytest.approx(1, abs=1e-3)
