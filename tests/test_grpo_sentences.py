"""Credit by sentence in TRL's trainer, on scripted replies."""

from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import TASKS, asked, drawn, each, said
from test_advantages import Letters, ids
from vlm_gym.trainers.assign import assign
from vlm_gym.trainers.credit.turns import CreditTurn
from vlm_gym.trainers.learner import Completion
from vlm_gym.trainers.models.encoding import Prompt
from vlm_gym.trainers.plays import TurnRow
from vlm_gym.trainers.recipe import Grpo
from vlm_gym.trainers.rewards import grade_completion

from vlm_gym.thought import Sentence


def test_a_sentence_answers_for_its_truth_and_for_the_play(trainer, monkeypatch):
    def write(requests: Any, _: Any, n: int) -> Any:
        """Think one true sentence, or one that is false, and answer the same."""
        replies = []
        for at, request in enumerate(each(requests, n)):
            thought = request.game.think(request.state)
            step = thought.steps[0] if thought else "a true sentence"
            words = f"<think>{step if at % 2 else 'up scores 2 then 2'}</think>{said('sideways')}"
            replies.append([*made._tokenizer(words)["input_ids"], made._tokenizer.eos_token_id])
        return replies, None

    made = trainer(prompts_per_step=4, advantage_by="sentence", scale="none", weights={"thought": 2.0})
    monkeypatch.setattr(made, "write", write)
    batch = drawn(made)
    for row, advantages in zip(batch["completions"], batch["advantages"], strict=True):
        if row.request.game.name != "2048":
            continue
        opened = len(made._tokenizer("<think>")["input_ids"])
        (sentence,) = row.grade.sentences
        end = len(made._tokenizer(f"<think>{sentence.words}")["input_ids"])
        # Half of the group's sentences are true; the play of all replies is equal, so it teaches nothing.
        wanted = 2 * ((sentence.kind == "true") - 0.5)
        assert advantages[opened:end].tolist() == [wanted] * (end - opened)
        assert not advantages[:opened].any()
        assert not advantages[end:].any()


@pytest.mark.parametrize("first", ["", "<answer>left</answer>", "well, "])
def test_a_thought_that_stands_elsewhere_is_no_reason_to_stop(trainer, monkeypatch, first):
    """Its sentences are graded, but no tokens are those of its section."""

    def write(requests: Any, _: Any, n: int) -> tuple[list[list[int]], None]:
        replies = []
        for at, request in enumerate(each(requests, n)):
            thought = request.game.think(request.state)
            words = thought.words if thought else "so"
            text = f"{first if at % 2 else ''}<think>{words}</think>{said('left')}"
            replies.append([*made._tokenizer(text)["input_ids"], made._tokenizer.eos_token_id])
        return replies, None

    made = trainer(tasks=TASKS[:1], prompts_per_step=4, advantage_by="sentence", weights={"thought": 1.0})
    monkeypatch.setattr(made, "write", write)
    batch = drawn(made)
    assert any(row.grade.sentences for row in batch["completions"])
    assert torch.isfinite(batch["advantages"]).all()


def test_equal_replies_have_their_own_sentences_in_games_with_and_without_a_grammar():
    rows = []
    request = asked(TASKS[0])
    prompt = Prompt({}, {}, ())
    for number, graded in enumerate(((), ("true", "false"))):  # the first game has no grammar
        for place, words in enumerate(("a", "b")):
            sentences = tuple(Sentence(words, kind) for kind in graded[place : place + 1])
            grade = grade_completion(request, f"<think>{words}</think>")
            completion = Completion(
                request=request,
                prompt=prompt,
                ids=ids(f"<think>{words}</think>"),
                text="",
                grade=grade._replace(sentences=sentences),
            )
            turn = CreditTurn(number, place, 0, request.state, "left", 0.0, request.state, False)
            rows.append(TurnRow(completion, turn, 0))
    grpo = Grpo(advantage_by="sentence", scale="none", weights={"thought": 1.0})
    credited = [completion.advantages.tolist() for completion in assign(rows, grpo, 2, Letters())]
    before, after = [0.0] * len("<think>"), [0.0] * len("</think>")
    nothing = [*before, 0.0, *after]
    assert credited == [nothing, nothing, [*before, 0.5, *after], [*before, -0.5, *after]]
