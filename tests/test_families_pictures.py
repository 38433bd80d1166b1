"""Families whose processors change pictures: sizes, tiles, and how models of them are built and loaded."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from families import TASKS, asked, recipe
from safetensors.torch import load_file
from vlm_gym.trainers import settings
from vlm_gym.trainers.models.families import LLAVA, family, picture_tokens
from vlm_gym.trainers.models.prepare import ready
from vlm_gym.trainers.models.processors import load_processor
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.tiny_families import Positions
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.planning.checks import warnings
from vlm_gym.trainers.planning.plan import plan
from vlm_gym.trainers.recipe import Model
from vlm_gym.trainers.train import reinforce

from vlm_gym.rollouts.policy import make as make_policy


def test_options_of_pictures_that_do_not_exist_are_an_error(tmp_path: Path):
    build_model(tmp_path, [("2048", "0")], width=64, depth=1)
    with pytest.raises(ValueError, match=r"unknown option 'do_resise' of pictures .did you mean 'do_resize'"):
        load_processor(tmp_path, do_resise=False)


@pytest.mark.parametrize("name", ["idefics3", "llava", "gemma3"])
def test_a_resized_picture_is_told_only_where_cells_lose_their_tokens(name: str):
    model = Model(family=name, width=64, depth=1)
    for sizes, good in (((64, 128), True), ((130,), False)):  # it is built for the largest
        tasks = tuple(replace(TASKS[0], perception=f"level=0,size={size}") for size in sizes)
        told = plan(replace(recipe(model), task=tasks), card_name="cpu")
        lines = [words for words in warnings(told) if "align" in words]
        assert bool(lines) != good
        assert good or "the processor makes 160x160 of 130x130 pixels" in lines[0]


TILES = {"do_image_splitting": True, "size": {"longest_edge": 256}}


def test_pictures_in_tiles_are_counted_and_learnt_from(tmp_path: Path):
    build_model(tmp_path / "model", [("2048", "0"), ("swap", "0")], width=64, depth=1, family="idefics3")
    model, processor, _ = ready(Model(pictures=TILES), tmp_path / "model")
    inputs = encode_requests(processor, [asked()])
    assert inputs["pixel_values"].shape[1] == 5  # four tiles, and the picture as a whole
    player = make_policy(f"hf:{tmp_path / 'model'}", pictures=TILES)  # as it plays before it has learnt
    assert torch.equal(encode_requests(player.processor, [asked()])["input_ids"], inputs["input_ids"])
    assert picture_tokens(model.config, inputs) == (5 * 16, 256, 256, 8)
    trainer = reinforce(recipe(), model, processor, settings.grpo(recipe(), tmp_path / "grpo"))
    trainer.go_on(None)
    again = load_processor(tmp_path / "grpo/checkpoint-1")
    assert torch.equal(encode_requests(again, [asked()])["input_ids"], inputs["input_ids"])
    told = plan(recipe(Model(path=str(tmp_path / "model"), pictures=TILES)), card_name="cpu")
    assert [shown.picture.tokens for shown in told.tasks] == [80, 80]


@pytest.mark.parametrize(
    ("asked_for", "loaded"),
    [
        (Model(), torch.float32),
        (Model(dtype="bfloat16"), torch.bfloat16),
        (Model(lora={"r": 2}), torch.bfloat16),
    ],
)
def test_whole_models_learn_in_float32_and_adapters_beside_weights_as_they_were_saved(
    asked_for: Model, loaded: torch.dtype, tmp_path: Path
):
    build_model(tmp_path, [("2048", "0")], width=64, depth=1)
    load_model(tmp_path)[0].to(torch.bfloat16).save_pretrained(tmp_path)
    assert ready(asked_for, tmp_path).model.dtype == loaded


def test_a_chat_format_that_writes_no_end_is_replaced_where_the_family_is_known_for_it(tmp_path: Path):
    build_model(tmp_path, [("2048", "0")], width=64, depth=1, family="llava")
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text().replace("{{ eos_token }}", " "))
    assert load_processor(tmp_path).chat_template == LLAVA
    mine = LLAVA.replace("<image>\n", "<image>")
    template.write_text(mine)
    assert load_processor(tmp_path).chat_template == mine


@pytest.mark.parametrize("family", ["idefics3", "llava", "gemma3"])
@pytest.mark.parametrize(("side", "tokens"), [(96, 9), (100, 16)])
def test_a_family_of_one_size_is_built_for_the_size_of_the_pictures(
    family: str, side: int, tokens: int, tmp_path: Path
):
    build_model(tmp_path, [("2048", "0")], width=64, depth=1, family=family, side=side)
    model, processor = load_model(tmp_path)
    inputs = encode_requests(processor, [asked(size=side)])
    assert (found := picture_tokens(model.config, inputs)) is not None
    assert found.tokens == tokens
    assert model(**inputs).logits.isfinite().all()


def test_an_unknown_family_is_an_error_that_lists_them(tmp_path: Path):
    with pytest.raises(ValueError, match=r"unknown family 'qwen3_v' .did you mean 'qwen3_vl'.*gemma3"):
        build_model(tmp_path, [("2048", "0")], family="qwen3_v")
    with pytest.raises(ValueError, match="unknown family 'gpt2'; families: qwen2_vl"):
        family("gpt2")


def test_learned_positions_are_of_llava_alone(tmp_path: Path):
    with pytest.raises(ValueError, match="positions='learned' are not possible with family='gemma3'; llava"):
        build_model(tmp_path, [("2048", "0")], family="gemma3", positions="learned")
    with pytest.raises(
        ValueError, match=r'model\.positions="learned" takes model\.family="llava"; .qwen3_vl'
    ):
        Model(positions="learned")
    with pytest.raises(ValueError, match=r"leave out model\.family, width, depth, positions and attention"):
        Model(path="tiny-base", family="llava", positions="learned")
    with pytest.raises(ValueError, match=r"leave out model\.family, width, depth, positions and attention"):
        Model(path="tiny-base", attention="mimetic")


@pytest.mark.parametrize(
    ("family", "positions"), [("qwen3_vl", "rotary"), ("gemma3", "rotary"), ("llava", "learned")]
)
def test_a_token_of_a_mimetic_model_first_attends_to_those_like_itself(
    tmp_path: Path, family: str, positions: Positions
):
    tasks = [("2048", "0")]
    build_model(tmp_path / "random", tasks, width=64, depth=2, family=family, positions=positions)
    build_model(
        tmp_path / "mimetic",
        tasks,
        width=64,
        depth=2,
        family=family,
        positions=positions,
        attention="mimetic",
    )
    random = load_file(tmp_path / "random" / "model.safetensors")
    mimetic = load_file(tmp_path / "mimetic" / "model.safetensors")
    differ = {name for name in random if not torch.equal(random[name], mimetic[name])}
    assert len(differ) == 2  # one a layer of the language half
    for name in differ:
        assert name.endswith("k_proj.weight")
        assert "vision" not in name
        assert torch.equal(mimetic[name], mimetic[name.replace("k_proj", "q_proj")])
