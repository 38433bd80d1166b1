"""What training must never get wrong, held on the ways that data take through TRL."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from PIL import Image
from talking import LENGTH, TASKS, Watcher, asked, drawn, rewards_of
from torch import Tensor
from vlm_gym.trainers import settings
from vlm_gym.trainers.cold_start import ColdStartTrainer
from vlm_gym.trainers.data.parquet import make_rows, open_rows
from vlm_gym.trainers.learners.trl_learner import TrlLearner
from vlm_gym.trainers.models.batching import of_similar_length
from vlm_gym.trainers.models.encoding import collate_pictures
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.token_loop import sample_tokens
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.planning import context_length
from vlm_gym.trainers.recipe import ColdStart, Data, Grpo, Measure, Recipe, Shares, Task
from vlm_gym.trainers.train import reinforce

from vlm_gym.registry import names

EVERY = tuple(Task(game=name, reasoning="0", perception="level=0,size=128", moves=3) for name in names())
SPREAD = Shares(fresh=0.3, walk=0.4, solver=0.3)


def recipe(tasks: tuple[Task, ...], states: int = 4, group: int = 3, **trl) -> Recipe:
    """Both stages; by default each of four positions is replied to three times."""
    own = {"num_generations": group, "max_completion_length": LENGTH, "temperature": 1.0, **trl}
    return Recipe(
        task=tasks,
        data=Data(rows=2 * len(tasks), shares=SPREAD),
        cold_start=ColdStart(batch=2, steps=1),
        grpo=Grpo(steps=2, prompts_per_step=states, shares=SPREAD, reward="goal", trl=own),
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the words of every game."""
    folder = tmp_path_factory.mktemp("reader")
    build_model(folder, [(task.game, task.reasoning) for task in EVERY], width=64, depth=1)
    return folder


def reinforcing(path: Path, asked_for: Recipe, out: Path) -> TrlLearner:
    return reinforce(asked_for, *load_model(path), settings.grpo(asked_for, out))


def imitating(path: Path, asked_for: Recipe, out: Path) -> ColdStartTrainer:
    data = make_rows(asked_for, out / "data")
    return ColdStartTrainer(*load_model(path), settings.cold_start(asked_for, out), data)


def masked(ids: Tensor, mask: Tensor) -> list[list[int]]:
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]


def holds(batch: dict[str, Tensor], trainer: ColdStartTrainer | TrlLearner, names: tuple[str, str]) -> None:
    """Check that rows have pictures, and as many placeholders as features, each in its own place.

    Games with memory have a picture for each of the past turns, too.
    """
    ids, mask = (batch[name] for name in names)
    config = trainer.model.config
    merge = trainer.processing_class.image_processor.merge_size**2
    patches = batch["image_grid_thw"].prod(dim=1)
    assert patches.sum() == len(batch["pixel_values"])
    features = (patches // merge).tolist()
    for row in masked(ids, mask):
        pictures = row.count(config.vision_start_token_id)
        assert pictures > 0
        assert row.count(config.image_token_id) == sum(features[:pictures])
        del features[:pictures]
    assert not features


def test_placeholders_are_as_many_as_features_in_every_row_of_the_cold_start(reader, tmp_path):
    trainer = imitating(reader, recipe(EVERY), tmp_path)
    for batch in trainer.get_train_dataloader():
        holds(batch, trainer, ("input_ids", "attention_mask"))


def test_placeholders_are_as_many_as_features_in_every_row_of_grpo(reader, tmp_path):
    asked_for = recipe(EVERY, states=len(EVERY), group=2, gradient_checkpointing=True)
    trainer = reinforcing(reader, asked_for, tmp_path)
    batch = drawn(trainer)
    batch |= collate_pictures([row.prompt for row in batch["completions"]])
    holds(batch, trainer, ("prompt_ids", "prompt_mask"))


def test_only_the_reply_and_its_end_carry_loss(reader, tmp_path):
    trainer = imitating(reader, recipe(EVERY), tmp_path)
    replies = [
        row["completion"][0]["content"][0]["text"] for row in open_rows(tmp_path / "data/rows.parquet")
    ]
    learnt = []
    for batch in trainer.get_train_dataloader():
        for labels, ids in zip(batch["labels"], batch["input_ids"], strict=True):
            carries = labels != -100
            assert torch.equal(labels[carries], ids[carries])
            learnt.append(trainer.processing_class.decode(labels[carries]))
    assert sorted(learnt) == sorted(f"{reply}<|im_end|>" for reply in replies)


def test_what_a_template_writes_after_a_reply_carries_no_loss(reader, tmp_path):
    model, processor = load_model(reader)
    processor.chat_template = processor.chat_template.replace(
        "{% endgeneration %}\n", "{% endgeneration %}\n\n"
    )
    data, args = make_rows(recipe(EVERY), tmp_path / "data"), settings.cold_start(recipe(EVERY), tmp_path)
    batch = next(iter(ColdStartTrainer(model, processor, args, data).get_train_dataloader()))
    words = processor.batch_decode(batch["input_ids"])
    assert all("<|im_end|>\n<|endoftext|>" in f"{each}<|endoftext|>" for each in words)
    for labels in batch["labels"]:
        assert processor.decode(labels[labels != -100]).endswith("</answer><|im_end|>")


def test_a_row_that_is_too_long_for_the_model_is_an_error_and_not_cut(reader, tmp_path):
    trainer = imitating(reader, recipe(EVERY), tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    collate = replace(trainer.data_collator, room=batch["labels"].shape[1] - 1)
    examples = [trainer.train_dataset[at] for at in range(len(trainer.train_dataset))]
    with pytest.raises(
        ValueError, match=r"a row of the cold start has \d+ tokens, and the model \d+ positions"
    ):
        collate(examples)


@pytest.mark.parametrize(("longest", "evaluation"), [(5000, None), (8, Measure(max_tokens=5000))])
def test_replies_that_are_too_long_for_the_model_are_refused_before_the_run(reader, longest, evaluation):
    ordered = replace(recipe(EVERY), evaluation=evaluation)
    name = "evaluation.max_tokens" if evaluation else "grpo.trl.max_completion_length"
    with pytest.raises(ValueError, match=rf"prompt of \d+ tokens; with {name}=5000 .* 4096 positions of"):
        context_length.check_context(ordered, reader, longest)
    context_length.check_context(recipe(EVERY), reader, 8)


def test_prompts_and_pictures_are_the_same_in_cold_start_grpo_and_evaluation(reader, tmp_path):
    trainer = reinforcing(reader, recipe(EVERY, states=2 * len(EVERY), group=2), tmp_path)
    watcher = Watcher(trainer.model)
    batch = drawn(trainer)
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, batch)
    requests = [row.request for row in batch["completions"]]
    assert {request.game.name for request in requests} == set(names())
    processor = load_model(reader)[1]
    shown = encode_requests(processor, requests)
    assert torch.equal(batch["prompt_ids"], shown["input_ids"])
    assert torch.equal(batch["prompt_mask"], shown["attention_mask"])
    lengths = shown["attention_mask"][::2].sum(dim=1).tolist()
    batches = of_similar_length(lengths, len(lengths))
    assert len(batches) > 1  # games of memory show past pictures
    # Replies are written, and then scored, in the same batches of prompts.
    for indices, pictures in zip(batches + batches, watcher.pictures, strict=True):
        batch_requests = [requests[2 * index] for index in indices]
        assert torch.equal(pictures, encode_requests(processor, batch_requests)["pixel_values"])

    taught = imitating(reader, recipe(EVERY), tmp_path)
    examples = [
        {
            "prompt": request.messages(),
            "completion": [{"role": "assistant", "content": [{"type": "text", "text": "yes"}]}],
            "images": [Image.fromarray(frame) for frame in request.pictures()],
        }
        for request in requests
    ]
    learnt = taught.data_collator(examples)
    prompts = masked(shown["input_ids"], shown["attention_mask"])
    for mine, theirs in zip(masked(learnt["input_ids"], learnt["attention_mask"]), prompts, strict=True):
        assert mine[: len(theirs)] == theirs
    assert torch.equal(learnt["pixel_values"], shown["pixel_values"])


def test_what_is_generated_from_are_the_tokens_that_are_trained_on(talker, tmp_path):
    trainer = reinforcing(talker, recipe(TASKS), tmp_path)
    watcher = Watcher(trainer.model)
    batch = drawn(trainer)
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, batch)
    (prompts,) = watcher.prompts
    assert torch.equal(prompts, batch["prompt_ids"])
    assert torch.equal(*watcher.pictures)


@pytest.mark.parametrize("again", [False, True])
def test_replies_that_share_a_prompt_are_those_that_are_sampled_to_each(talker, tmp_path, again):
    trainer = reinforcing(talker, recipe(TASKS, gradient_checkpointing=again), tmp_path)
    first = next(iter(trainer.get_train_dataloader()))
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions(first)
    inputs = encode_requests(trainer.processing_class, [row.request for row in batch["completions"]])
    torch.manual_seed(0)
    output = trainer.model.generate(
        **inputs, generation_config=trainer.generation_config, custom_generate=sample_tokens
    )
    replies = output[:, inputs["input_ids"].shape[1] :]
    assert len({tuple(reply) for reply in replies.tolist()}) > len(replies) // 2
    assert torch.equal(batch["completion_ids"], replies[:, : batch["completion_ids"].shape[1]])


def test_log_probabilities_in_training_are_those_of_generation(talker, tmp_path):
    trainer = reinforcing(talker, recipe(TASKS, temperature=1.0), tmp_path)
    batch = drawn(trainer)
    model, processor = load_model(talker)
    inputs = encode_requests(processor, [row.request for row in batch["completions"]])
    torch.manual_seed(0)
    output = model.generate(
        **inputs,
        max_new_tokens=LENGTH,
        do_sample=True,
        top_k=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    replies = output.sequences[:, inputs["input_ids"].shape[1] :]
    said = torch.stack(output.logits, 1).log_softmax(-1).gather(2, replies[:, :, None])[:, :, 0]
    ended = (replies == processor.tokenizer.eos_token_id).cumsum(1)
    counts = (ended - (replies == processor.tokenizer.eos_token_id).long()) == 0
    learnt, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        torch.cat([inputs["input_ids"], replies], 1),
        torch.cat([inputs["attention_mask"], counts.long()], 1),
        replies.shape[1],
        pixel_values=inputs["pixel_values"],
        image_grid_thw=inputs["image_grid_thw"],
        num_images=[1] * len(replies),
        mm_token_type_ids=torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, replies.shape[1])),
    )
    assert not counts.all()  # some replies ended before others
    assert (said[counts] < -0.1).any()  # and were no foregone conclusion
    torch.testing.assert_close(learnt[counts], said[counts], atol=1e-4, rtol=0)


def test_a_group_is_one_position_and_no_step_mixes_groups(talker, tmp_path):
    trainer = reinforcing(talker, recipe(TASKS, states=4, group=3), tmp_path)
    batch = drawn(trainer)
    groups = [batch["completions"][at : at + 3] for at in range(0, 12, 3)]
    for at, group in enumerate(groups):
        assert len({row.request.state for row in group}) == len({row.start.task for row in group}) == 1
        assert len({tuple(ids) for ids in batch["prompt_ids"][3 * at : 3 * at + 3].tolist()}) == 1
    assert len({group[0].request.state for group in groups}) == 4


def test_equal_replies_to_equal_positions_earn_equal_rewards(talker, tmp_path):
    trainer = reinforcing(talker, recipe(TASKS, states=3, group=8), tmp_path)
    batch = drawn(trainer)
    earned = {}
    for row in batch["completions"]:
        place = row.request.state, row.text
        assert earned.setdefault(place, row.grade) == row.grade
    assert len(earned) < 24  # some replies were equal
    assert len({grade.terms["game"] for grade in earned.values()}) > 1


def test_rewards_are_those_of_the_rows_that_they_stand_beside(talker, tmp_path):
    trainer = reinforcing(talker, recipe(TASKS, states=16), tmp_path)
    batch = drawn(trainer)
    rewards = torch.tensor(rewards_of(trainer, batch["completions"])).view(-1, 3)
    wanted = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(batch["advantages"].view(-1, 3), wanted)
    assert wanted.any()


def test_pictures_are_those_that_players_see(talker):
    for task in TASKS:
        request = asked(task)
        (frame,) = request.pictures()
        assert frame.shape == (task.look.size, task.look.size, 3)
        pictures = load_model(talker)[1].image_processor([frame], return_tensors="pt")
        assert torch.equal(
            encode_requests(load_model(talker)[1], [request])["pixel_values"], pictures["pixel_values"]
        )
        assert np.array_equal(frame, request.picture())
