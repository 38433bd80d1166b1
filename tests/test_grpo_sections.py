"""Credit by section in TRL's trainer: which tokens of a reply answer for which of its rewards."""

from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import drawn, each, of_attempts, said
from trl import GRPOTrainer
from vlm_gym.trainers.advantages import by_group
from vlm_gym.trainers.learners.trl_learner import TrlLearner
from vlm_gym.trainers.sections import spans

from vlm_gym.rollouts.policy import Request


def scripted(made: TrlLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write replies with a whole, a wrong and a partial perception, and without one."""

    def write(requests: list[Request], _: Any, n: int) -> tuple[list[list[int]], None]:
        return [_reply(made, request, at) for at, request in enumerate(each(requests, n))], None

    monkeypatch.setattr(made, "write", write)


def _reply(made: TrlLearner, request: Request, at: int) -> list[int]:
    truth, legal = request.game.scene(request.state).describe(), request.game.legal(request.state)
    answer = said(legal[at // 4 % len(legal)] if at % 3 else "sideways")
    words = (
        f"<perception>{truth}</perception>{answer}",
        f"<perception>{truth[: len(truth) // 2]}</perception>{answer}",
        f"{answer}</perception>" if at % 8 == 2 else answer,
        f"<perception>{truth}",
    )[at % 4]
    return [*made._tokenizer(words)["input_ids"], made._tokenizer.eos_token_id]


@pytest.mark.parametrize(("credit", "dead"), [("reply", 0), ("section", 1)])
def test_credit_by_section_judges_by_play_alone_whether_there_is_something_to_learn(
    trainer, monkeypatch, credit, dead
):
    def write(requests: list[Request], _: Any, n: int) -> tuple[list[list[int]], None]:
        """Read all or half of the board, and answer the same."""
        seen = [request.game.scene(request.state).describe() for request in each(requests, n)]
        told = [words[: len(words) // (1 + at % 2)] for at, words in enumerate(seen)]
        replies = [f"<perception>{words}</perception>{said('sideways')}" for words in told]
        end = made._tokenizer.eos_token_id
        return [[*made._tokenizer(words)["input_ids"], end] for words in replies], None

    made = trainer(prompts_per_step=4, dynamic_sampling=1, advantage_by=credit, weights={"perception": 1.0})
    monkeypatch.setattr(made, "write", write)
    batch = drawn(made)
    assert len({row.grade.terms["perception"] for row in batch["completions"][:4]}) == 2
    assert (
        made._metrics["train"]["2048/zero_advantage"]
        == made._metrics["train"]["swap/zero_advantage"]
        == [dead]
    )
    states = [
        start.request.state for start in of_attempts(made, 1)[dead]
    ]  # those of a zero-advantage group are others
    assert [row.request.state for row in batch["completions"][::4]] == states
    assert batch["advantages"].any()


@pytest.mark.parametrize("scale", ["group", "game", "none"])
def test_tokens_of_a_perception_answer_for_its_term_and_the_others_for_the_rest(trainer, monkeypatch, scale):
    weights = {"game": 1.0, "format": 0.5, "perception": 2.0}
    made = trainer(prompts_per_step=8, advantage_by="section", scale=scale, weights=weights)
    scripted(made, monkeypatch)
    batch = drawn(made)
    terms = [row.grade.terms for row in batch["completions"]]
    both = {
        "sight": torch.tensor([2 * each["perception"] for each in terms]),
        "rest": torch.tensor([each["game"] + 0.5 * each["format"] for each in terms]),
    }
    tasks = torch.tensor([row.start.task for row in batch["completions"]])
    for name, rewards in both.items():
        both[name] = by_group(rewards, 4, scale == "group")
        for task in (0, 1) if scale == "game" else ():
            both[name][tasks == task] /= both[name][tasks == task].square().mean().sqrt() + 1e-4
    assert batch["advantages"].shape == batch["completion_ids"].shape
    for at, (advantages, ids) in enumerate(zip(batch["advantages"], batch["completion_ids"], strict=True)):
        words = made._tokenizer.decode(ids).partition("</perception>")
        ends = len(made._tokenizer("".join(words[:2]))["input_ids"]) if at % 4 < 2 else 0
        assert (ends > 0) == (at % 4 < 2)
        torch.testing.assert_close(advantages[:ends], both["sight"][at].expand(ends))
        torch.testing.assert_close(advantages[ends:], both["rest"][at].expand(len(ids) - ends))
    assert all(both[name].unique().numel() > 4 for name in both)


def test_credit_by_section_follows_replies_through_small_batches(trainer, monkeypatch):
    made = trainer(
        prompts_per_step=4, steps=1, advantage_by="section", trl={"per_device_train_batch_size": 4}
    )
    scripted(made, monkeypatch)
    given, compute = [], GRPOTrainer._compute_loss

    def noted(self: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        given.extend(zip(inputs["completion_ids"], inputs["advantages"], strict=True))
        return compute(self, model, inputs)

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", noted)
    made.go_on(None)
    assert len(given) == 16
    for ids, advantages in given:
        ends = spans(made._tokenizer, ids.tolist()).perception
        assert len(advantages[:ends].unique()) == (ends > 0)
        assert len(advantages[ends:].unique()) == 1
