"""Families of models, each as a tiny one: they read, learn, are saved and play alike, by one table."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from families import LENGTH, TASKS, asked, recipe
from PIL import Image
from talking import Watcher
from transformers import GenerationConfig
from trl.trainer.utils import add_fused_lm_head
from vlm_gym.trainers import settings
from vlm_gym.trainers.cold_start import ColdStartTrainer
from vlm_gym.trainers.data.parquet import make_rows
from vlm_gym.trainers.learners.shared_prompts import of_groups, prefill, sample_replies
from vlm_gym.trainers.losses import encode_examples, perception
from vlm_gym.trainers.models.encoding import OF_TOKENS, encode_prompt
from vlm_gym.trainers.models.families import FAMILIES, picture_tokens
from vlm_gym.trainers.models.prepare import finish_checkpoint, ready
from vlm_gym.trainers.models.processors import load_processor
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.tiny_families import TINY_PARTS, Positions
from vlm_gym.trainers.models.token_loop import sample_tokens
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.planning.checks import warnings
from vlm_gym.trainers.planning.model_shapes import read_shape
from vlm_gym.trainers.planning.plan import plan
from vlm_gym.trainers.recipe import Measure, Model
from vlm_gym.trainers.train import reinforce, train

from vlm_gym.episode import Episode
from vlm_gym.rollouts.policy import make as make_policy
from vlm_gym.rollouts.rollout import rollout


class Named(NamedTuple):
    """A tiny model: its family, its folder, and how it knows where a token stands."""

    family: str
    folder: Path
    positions: Positions


FAMILY = [
    *(pytest.param((name, "rotary"), id=name) for name in TINY_PARTS if name != "smolvlm"),
    pytest.param(("llava", "learned"), id="llava-learned"),
    # Its classes are those of Idefics 3 under other names.
    pytest.param(("smolvlm", "rotary"), id="smolvlm", marks=[pytest.mark.slow, pytest.mark.long]),
]


@pytest.fixture(scope="module", params=FAMILY)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    """A model of a family in a folder, as a checkpoint has it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    family, positions = request.param
    folder = tmp_path_factory.mktemp(family)
    tasks = [(task.game, task.reasoning) for task in TASKS]
    build_model(folder, tasks, width=64, depth=2, family=family, positions=positions)
    yield Named(family, folder, positions)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rows(recipe(), tmp_path_factory.mktemp("data"))


def changed(one: Path, two: Path) -> set[str]:
    """Name the weights that two folders have different."""
    before, after = (load_model(path)[0].state_dict() for path in (one, two))
    assert before.keys() == after.keys()
    return {name for name, weights in before.items() if not torch.equal(weights, after[name])}


def test_every_family_learns_is_saved_and_plays(made: Named, data: Path, tmp_path: Path):
    folder = made.folder
    model, processor, options = ready(Model(), folder)
    ColdStartTrainer(
        model, processor, settings.cold_start(recipe(), tmp_path / "sft"), data, **options
    ).go_on(None)
    taught = tmp_path / "sft/checkpoint-2"
    assert changed(folder, taught)

    model, processor, options = ready(Model(), taught)
    trainer = reinforce(
        recipe(), model, processor, settings.grpo(recipe(beta=0.1), tmp_path / "grpo"), **options
    )
    trainer.go_on(None)
    path = tmp_path / "grpo/checkpoint-1"
    (logged,) = (line for line in trainer.state.log_history if "kl" in line)
    assert logged["kl"] == pytest.approx(0, abs=1e-6)  # the reference is what it starts from
    assert logged["completions/mean_length"] > 0

    kept = load_model(path)[0]
    assert all(torch.equal(kept.state_dict()[name], weights) for name, weights in model.state_dict().items())
    policy = make_policy(f"hf:{path}", max_tokens=LENGTH)
    turns = list(rollout([Episode("2048", "size=128", "level=0,turns=2", "test")], policy, history=1))
    assert [turn.policy for turn in turns] == [f"hf:{path}"] * 2
    requests = [asked(seed, task) for seed in range(2) for task in TASKS]
    assert policy.act(requests) == make_policy(f"hf:{path}", max_tokens=LENGTH, batch=1).act(requests)


def test_what_is_told_of_a_picture_begins_as_a_reply_of_the_cold_start(made: Named):
    processor, request = load_model(made.folder)[1], asked()
    truth = f"<perception>{request.game.scene(request.state).describe()}</perception>"
    reply = {"role": "assistant", "content": [{"type": "text", "text": f"{truth}<think>"}]}
    taught = processor.apply_chat_template([*request.messages(), reply], tokenize=False)
    ids = processor(text=[taught], images=[[Image.fromarray(request.picture())]])["input_ids"][0]
    example = perception(request, encode_prompt(processor, request))
    told = encode_examples(processor, [example], [example.prompt])["input_ids"][0].tolist()
    assert told == list(ids[: len(told)])
    assert ids[len(told)] == processor.tokenizer.convert_tokens_to_ids("<think>")


def test_replies_that_share_a_prompt_are_as_likely_and_teach_as_much_as_those_that_do_not(made: Named):
    model, processor = load_model(made.folder)
    model.train()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    requests = [asked(seed, task) for seed, task in enumerate(TASKS)]
    chance, groups = torch.Generator().manual_seed(0), torch.tensor([1, 0, 0, 1, 1])
    replies = torch.randint(300, 320, (len(groups), 6), generator=chance)
    mask = torch.tensor([[at < 6 - row for at in range(6)] for row in range(len(groups))]).long()

    def learnt(told: list[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        model.zero_grad()
        sum((logps + 0.1 * entropies).sum() for logps, entropies in told).backward()
        sizes = [weights.grad for weights in model.parameters() if weights.grad is not None]
        return [torch.cat([each.detach() for each, _ in told]), *sizes]

    def alone(row: int) -> tuple[torch.Tensor, torch.Tensor]:
        shown, size = encode_requests(processor, [requests[groups[row]]]), int(mask[row].sum())
        reply = replies[row : row + 1, :size]
        more = {"input_ids": reply, "attention_mask": torch.ones_like(reply)}
        whole = {
            name: torch.cat([value, more.get(name, torch.zeros_like(reply))], dim=1)
            if name in OF_TOKENS
            else value
            for name, value in shown.items()
        }
        labels = torch.cat([torch.full_like(shown["input_ids"], -100), reply], dim=1)
        answer = model(**whole, labels=labels, fused_lm_head=True)
        rest = (0, replies.shape[1] - size)
        return tuple(
            torch.nn.functional.pad(each[:, -size:], rest) for each in (answer.log_probs, answer.entropy)
        )

    wanted = learnt([alone(row) for row in range(len(groups))])
    shared = learnt([of_groups(model, encode_requests(processor, requests), groups, replies, mask)])
    assert len(shared) == len(wanted)
    for one, other in zip(shared, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_replies_in_training_and_in_play_are_those_of_generate(made: Named):
    model, processor = load_model(made.folder)
    shown = encode_requests(processor, [asked(seed, task) for seed, task in enumerate(TASKS)])
    pad = processor.tokenizer.pad_token_id
    length = shown["input_ids"].shape[1]
    # Half of the tokens end a reply, so that replies leave the batch.
    ends = list(range(1, processor.tokenizer.vocab_size, 2))
    decoding = GenerationConfig(max_new_tokens=12, pad_token_id=pad, eos_token_id=ends)
    prompt_of = torch.arange(len(TASKS)).repeat_interleave(2)
    with torch.no_grad():
        wanted = model.generate(**shown, generation_config=decoding)[:, length:]
        replies = sample_replies(model, prefill(model, shown, prompt_of), decoding)
        in_play = model.generate(**shown, generation_config=decoding, custom_generate=sample_tokens)
    assert torch.equal(replies, wanted[prompt_of])
    assert torch.equal(in_play[:, length:], wanted)


@pytest.mark.parametrize(("turns", "size"), [(0, 128), (2, 192)])
def test_placeholders_are_pictures_are_features(made: Named, turns: int, size: int):
    model, processor = load_model(made.folder)
    requests = [asked(seed, turns=turns, size=size) for seed in range(2)]
    inputs = encode_requests(processor, requests)
    text = processor.apply_chat_template(requests[0].messages(), tokenize=False, add_generation_prompt=True)
    assert text.count(processor.image_token) == 1 + turns
    placeholders = (inputs["input_ids"] == model.config.image_token_id).sum()
    words = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
    shown = {name: value for name, value in inputs.items() if name not in words}
    with torch.inference_mode():
        features = model.model.get_image_features(**shown, return_dict=True).pooler_output
    width = model.config.get_text_config().hidden_size
    made_of_them = sum(each.reshape(-1, width).shape[0] for each in features)
    assert placeholders == made_of_them == FAMILIES[made.family].features(model.config, inputs)
    seen = picture_tokens(model.config, encode_requests(processor, requests[:1])) if turns == 0 else None
    assert seen is None or seen.tokens * len(requests) == placeholders


def test_a_cell_of_a_small_board_is_one_visual_token(made: Named):
    model, processor = load_model(made.folder)
    assert picture_tokens(model.config, encode_requests(processor, [asked()])) == (16, 128, 128, 4)


def test_a_model_sees(made: Named):
    model, processor = load_model(made.folder)
    logits = []
    for seed in range(2):
        with torch.inference_mode():
            logits.append(model(**encode_requests(processor, [asked(seed)])).logits[0, -1])
    assert not torch.allclose(*logits, atol=1e-4)


def test_prompts_and_pictures_are_the_same_in_cold_start_grpo_and_evaluation(
    made: Named, data: Path, tmp_path: Path
):
    model, processor = load_model(made.folder)
    trainer = reinforce(recipe(), model, processor, settings.grpo(recipe(), tmp_path))
    watcher = Watcher(model)
    first = next(iter(trainer.get_train_dataloader()))
    batch = trainer._generate_and_score_completions(first)
    requests = [row.request for row in batch["completions"]]
    shown = encode_requests(load_processor(made.folder), requests)
    taught = ColdStartTrainer(
        *load_model(made.folder), settings.cold_start(recipe(), tmp_path), data
    ).data_collator(
        [
            {
                "prompt": request.messages(),
                "completion": [{"role": "assistant", "content": [{"type": "text", "text": "yes"}]}],
                "images": [Image.fromarray(frame) for frame in request.pictures()],
            }
            for request in requests
        ]
    )
    for at in range(len(requests)):
        ids, *others = (
            each["input_ids" if "input_ids" in each else "prompt_ids"][at][
                each["attention_mask" if "attention_mask" in each else "prompt_mask"][at].bool()
            ].tolist()
            for each in (shown, batch, taught)
        )
        assert others[0] == ids
        assert others[1][: len(ids)] == ids
        assert processor.decode(others[1][len(ids) :]).strip().startswith("yes")
        start = processor.tokenizer.bos_token_id
        assert start is None or (ids[0], ids.count(start)) == (start, 1)
    assert torch.equal(taught["pixel_values"], shown["pixel_values"])
    once = encode_requests(processor, requests[:: trainer.num_generations])["pixel_values"]
    assert all(torch.equal(seen, once) for seen in watcher.pictures)
    assert len(watcher.pictures) == 1


def test_a_reply_ends_in_a_token_that_stops_the_model(made: Named, data: Path, tmp_path: Path):
    trainer = ColdStartTrainer(*load_model(made.folder), settings.cold_start(recipe(), tmp_path), data)
    for labels in next(iter(trainer.get_train_dataloader()))["labels"]:
        last = labels[labels != -100][-1]
        ends = load_model(made.folder)[0].generation_config.eos_token_id
        assert last in (ends if isinstance(ends, list) else [ends])
        assert trainer.processing_class.decode(last) == FAMILIES[made.family].end


def test_a_frozen_tower_stays_as_it_is_and_what_carries_over_learns(made: Named, data: Path, tmp_path: Path):
    found = FAMILIES[made.family]
    model, processor, options = ready(Model(vision="frozen"), made.folder)
    ColdStartTrainer(model, processor, settings.cold_start(recipe(), tmp_path), data, **options).go_on(None)
    learnt = changed(made.folder, tmp_path / "checkpoint-2")
    inside = {name for name in learnt if name.startswith(found.tower)}
    assert all(found.bridge and found.bridge in name for name in inside)
    assert any("language_model" in name or "text_model" in name for name in learnt)
    bridges = ("merger", "connector", "projector")
    assert any(word in name for name in learnt for word in bridges)


@pytest.mark.parametrize("vision", [pytest.param("train", marks=pytest.mark.slow), "frozen"])
def test_adapters_are_merged_into_a_model_that_says_the_same(
    made: Named, data: Path, tmp_path: Path, vision: str
):
    found, wanted = FAMILIES[made.family], Model(lora={"r": 4}, vision=vision)
    model, processor, options = ready(wanted, made.folder)
    trainer = ColdStartTrainer(model, processor, settings.cold_start(recipe(), tmp_path), data, **options)
    trainer.go_on(None)
    stage = tmp_path / "checkpoint-2"
    assert not (stage / "model.safetensors").exists()
    finish_checkpoint(stage, made.folder)
    assert not list(stage.glob("adapter*"))
    inputs = encode_requests(processor, [asked()])
    with torch.inference_mode():
        before = trainer.model.eval()(**inputs).logits
        after = load_model(stage)[0](**inputs).logits
    assert torch.allclose(before, after, atol=1e-4)
    learnt = changed(made.folder, stage)
    inside = {name for name in learnt if name.startswith(found.tower)}
    assert any("q_proj" in name and name not in inside for name in learnt)
    if vision == "train":
        assert inside
    else:
        assert all(found.bridge and found.bridge in name for name in inside)


def test_the_reference_of_adapters_is_the_model_without_them(made: Named, tmp_path: Path):
    model, processor, options = ready(Model(lora={"r": 4}), made.folder)
    asked_for = replace(recipe(beta=0.5), grpo=replace(recipe(beta=0.5).grpo, steps=2))
    trainer = reinforce(asked_for, model, processor, settings.grpo(asked_for, tmp_path), **options)
    assert trainer.ref_model is None
    for name, weights in trainer.model.named_parameters():
        if "lora_B" in name:  # as if it had learnt before
            torch.nn.init.normal_(weights.data, std=0.3)
    trainer.go_on(None)
    assert all(line["kl"] > 1e-3 for line in trainer.state.log_history if "kl" in line)


def test_what_is_planned_of_a_family_is_what_is_built(made: Named):
    asked_for = Model(family=made.family, width=64, depth=2, positions=made.positions)
    told = plan(recipe(asked_for), card_name="cpu")
    model, processor = load_model(made.folder)
    assert told.model.parameters == sum(weights.numel() for weights in model.parameters())
    assert 0 < told.model.vision < told.model.parameters
    assert [shown.picture.tokens for shown in told.tasks] == [16, 16]
    assert told.model.learning == told.model.parameters
    assert told.tasks[0].prompt == encode_requests(processor, [asked()])["input_ids"].shape[1]
    assert told.tasks[0].aligned
    assert not [words for words in warnings(told) if "align" in words]


@pytest.mark.parametrize("lora", [{}, {"r": 4}], ids=["whole", "lora"])
def test_what_is_planned_to_learn_learns(made: Named, lora: dict, tmp_path: Path):
    wanted = Model(path=str(made.folder), vision="frozen", lora=lora)
    told = read_shape(wanted, TASKS)[0]
    model, processor, options = ready(wanted, made.folder)
    trainer = reinforce(recipe(), model, processor, settings.grpo(recipe(), tmp_path), **options)
    learning = [weights.numel() for weights in trainer.model.parameters() if weights.requires_grad]
    assert told.learning == sum(learning) < told.parameters
    assert told.adapted == bool(lora)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lora", [pytest.param({}, id="whole"), pytest.param({"r": 4}, marks=pytest.mark.long, id="lora")]
)
def test_a_run_of_every_family_goes_from_the_recipe_to_the_report(made: Named, lora: dict, tmp_path: Path):
    model = Model(path=str(made.folder), lora=lora, vision="frozen" if lora else "train")
    whole = replace(recipe(model), evaluation=Measure(episodes=1, turns=2, max_tokens=LENGTH))
    assert train(whole, tmp_path / "run").exists()
    for stage in ("cold_start", "grpo"):
        load_model(tmp_path / "run" / stage / "model")
