"""The second loss of GRPO on whole replies: of the game's teacher, and of the cold start."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import LENGTH, TASKS, Listener, asked, grouped, groups
from vlm_gym.trainers import settings
from vlm_gym.trainers.data.parquet import make_rows, read_replies
from vlm_gym.trainers.losses import SFTExample, drawn, encode_examples, teacher
from vlm_gym.trainers.models.encoding import encode_prompt
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.recipe import Anchor, ColdStart, Data, Grpo, Recipe
from vlm_gym.trainers.train import reinforce

from vlm_gym.actions import parse_for
from vlm_gym.evaluation.judge import weigh
from vlm_gym.prompt import solution
from vlm_gym.rollouts.policy import Request


def surprise(model: Any, processor: Any, examples: list[tuple[Request, str]]) -> float:
    """Compute the cross-entropy of whole replies and the token that ends them, one at a time."""
    total, count = 0.0, 0
    for request, text in examples:
        first = encode_requests(processor, [request])["input_ids"].shape[1]
        whole = encode_requests(processor, [request], [text + processor.tokenizer.eos_token])
        with torch.no_grad():
            logits = model(**whole).logits[0, first - 1 : -1]
        wanted = whole["input_ids"][0, first:]
        total += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
        count += len(wanted)
    return total / count


def test_the_example_of_the_teacher_is_its_whole_reply_with_its_end(talker: Path) -> None:
    processor = load_model(talker)[1]
    request = asked(TASKS[0])
    example = teacher(request, encode_prompt(processor, request))
    labels = encode_examples(processor, [example], [example.prompt])["labels"][0]
    assert processor.tokenizer.decode(labels[labels >= 0]) == f"{example.text}<|im_end|>"
    assert (
        weigh(request.game, request.state, parse_for(request.game, request.state, example.text)).kind
        == "fine"
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])  # of the samples: the second loss has none
def test_the_second_loss_is_the_cross_entropy_of_the_teachers_replies(
    talker: Path, tmp_path: Path, temperature: float
) -> None:
    anchor = Anchor(weight=0.5, source="teacher")
    trl = {"learning_rate": 0.0, "temperature": temperature}
    made = grouped(talker, tmp_path, steps=1, anchor=anchor, trl=trl)
    heard = Listener(made)
    made.go_on(None)
    taught = []
    for group in groups(heard.rows[0]):
        request = group[0].request
        taught.append((request, solution(request.game, request.state)))
    wanted = surprise(made.model, made.processing_class, taught)
    assert heard.lines[0]["anchor_loss"] == pytest.approx(wanted, rel=1e-4)


def test_rows_of_the_cold_start_are_drawn_by_the_seed_and_learned(talker: Path, tmp_path: Path) -> None:
    told = {"num_generations": 4, "max_completion_length": LENGTH, "learning_rate": 0.0}
    grpo = Grpo(
        steps=1, prompts_per_step=4, save=100, anchor=Anchor(weight=1.0, source="cold_start"), trl=told
    )
    recipe = Recipe(task=TASKS, data=Data(rows=6), cold_start=ColdStart(batch=2, steps=1), grpo=grpo)
    data = make_rows(recipe, tmp_path / "data")
    rows = [SFTExample(request, text, whole=True) for request, text in read_replies(recipe, data)]
    assert len(rows) == 6
    made = reinforce(recipe, *load_model(talker), settings.grpo(recipe, tmp_path / "run"), rows)
    heard = Listener(made)
    made.go_on(None)
    examples = [drawn(rows, number, recipe.seed) for number in range(4)]
    wanted = surprise(made.model, made.processing_class, [(each.request, each.text) for each in examples])
    assert heard.lines[0]["anchor_loss"] == pytest.approx(wanted, rel=1e-4)


def test_rows_of_the_cold_start_need_a_cold_start() -> None:
    grpo = Grpo(anchor=Anchor(weight=1.0, source="cold_start"))
    with pytest.raises(ValueError, match=r'grpo\.anchor\.source="cold_start" takes a \[cold_start\]'):
        Recipe(task=TASKS, grpo=grpo)
