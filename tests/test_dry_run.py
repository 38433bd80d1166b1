"""What would fail after minutes or hours is an error in one line before any work."""

import json
import logging
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.planning import dry_run
from vlm_gym.trainers.planning.checks import untaught
from vlm_gym.trainers.recipe import ColdStart, Data, Grpo, Measure, Model, Recipe, Task
from vlm_gym.trainers.train import train

from vlm_gym.registry import find

LONGEST = 16
BOARD = Task(game="2048", reasoning="0", perception="level=0,size=128")


def recipe(model: Model | None = None, task: Task = BOARD, **trl) -> Recipe:
    return Recipe(
        model=model or Model(),
        task=(task,),
        data=Data(rows=4),
        cold_start=ColdStart(batch=2, steps=1, trl=trl),
        grpo=Grpo(steps=1, prompts_per_step=2, trl={"num_generations": 2, "max_completion_length": LONGEST}),
    )


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A sound model, for a test to break; of the family that it asks for."""
    family = getattr(request, "param", "qwen3_vl")
    build_model(tmp_path / "model", [("2048", "0")], width=64, depth=1, family=family)
    return tmp_path / "model"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(folder: Path, words: str, asked: Recipe | None = None) -> None:
    with pytest.raises(ValueError, match=words) as told:
        dry_run.check_loadable(asked or recipe(), folder, LONGEST)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("folder", ["qwen3_vl", "idefics3", "gemma3"], indirect=True)
def test_a_sound_model_passes_without_a_word(folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "vlm_gym.trainers.planning.dry_run"):
        dry_run.check_loadable(recipe(), folder, LONGEST)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("folder", "mark"),
    [("qwen3_vl", "<|image_pad|>"), ("idefics3", "<image>"), ("gemma3", "<start_of_image>")],
    indirect=["folder"],
)
def test_a_template_that_drops_pictures_is_an_error(folder: Path, mark: str):
    change(folder / "chat_template.jinja", mark, "")
    refused(folder, "writes 0 placeholders for 2 pictures; mend its chat_template.jinja")


def test_a_template_that_shows_a_picture_twice_is_an_error(folder: Path):
    change(folder / "chat_template.jinja", "<|image_pad|>", "<|image_pad|><|image_pad|>")
    refused(folder, "writes 4 placeholders for 2 pictures")


def test_a_template_that_ends_no_reply_is_an_error_where_a_model_learns_from_it(folder: Path):
    change(folder / "chat_template.jinja", "<|im_end|>", "")
    refused(folder, r"writes no <\|im_end\|> after a reply")
    dry_run.check_loadable(replace(recipe(), cold_start=None), folder, LONGEST)


def test_a_model_without_a_template_is_an_error(folder: Path):
    (folder / "chat_template.jinja").unlink()
    refused(folder, "comes without a chat template; choose a model")


def test_a_model_without_eyes_is_an_error(folder: Path):
    (folder / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    refused(folder, "is a gpt2, a model without eyes; choose a vision-language model")


@pytest.mark.parametrize("folder", ["idefics3"], indirect=True)
def test_a_processor_that_counts_otherwise_than_the_model_is_an_error(folder: Path):
    settings = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({**settings, "image_seq_len": 9}))
    refused(folder, "writes 18 visual tokens where the model makes 32")


@pytest.mark.parametrize("folder", ["qwen3_vl", "llava"], indirect=True)
def test_cells_that_do_not_align_are_a_warning(folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "vlm_gym.trainers.planning.dry_run"):
        dry_run.check_loadable(recipe(task=replace(BOARD, perception="level=0,size=130")), folder, LONGEST)
    (told,) = caplog.messages
    assert "of 130x130 pixels, and cells of 32 pixels do not align" in told


def test_what_is_longer_than_the_positions_of_the_model_is_an_error(folder: Path):
    change(folder / "config.json", '"max_position_embeddings": 4096', '"max_position_embeddings": 64')
    refused(folder, r"takes \d+ tokens with a reply, more than the 64 positions")
    change(folder / "config.json", '"max_position_embeddings": 64', '"max_position_embeddings": 60')
    refused(folder, "grpo.trl.max_completion_length=16 that is more than the 60 positions of .*; lower it")


@pytest.mark.parametrize("folder", ["gemma3"], indirect=True)
def test_a_family_whose_pictures_trl_misplaces_for_a_server_is_an_error(folder: Path):
    remote = {"use_vllm": True, "vllm_mode": "server", "num_generations": 2}
    asked = replace(recipe(), grpo=Grpo(steps=1, prompts_per_step=2, trl=remote))
    if find_spec("vllm") is None:
        refused(folder, "vllm is not installed", asked)
        asked = replace(asked, grpo=Grpo(steps=1, prompts_per_step=2, trl={**remote, "use_vllm": False}))
    refused(folder, "TRL does not find the pictures of .* set grpo.trl.vllm_mode=colocate", asked)


@pytest.mark.parametrize("folder", ["qwen3_vl", "idefics3", "llava"], indirect=True)
def test_pictures_of_the_others_are_found_for_a_server(folder: Path):
    dry_run.check_loadable(
        replace(recipe(), grpo=Grpo(steps=1, prompts_per_step=2, trl={"vllm_mode": "server"})),
        folder,
        LONGEST,
    )


def test_games_that_cannot_be_held_out_are_told_before_they_are_to_be_played(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    def asked(knobs: str) -> Recipe:
        task = Task(game="shisen_sho", reasoning=f"level=0,{knobs}", perception="level=0,size=128")
        return replace(recipe(task=task), evaluation=Measure(episodes=50))

    refused(folder, "shisen_sho has no test position among", asked("rows=2,cols=2,kinds=1,deck=2"))
    with caplog.at_level(logging.WARNING, "vlm_gym.trainers.planning.dry_run"):
        dry_run.check_loadable(asked("kinds=2"), folder, LONGEST)
        assert caplog.messages == []
        dry_run.check_loadable(asked("kinds=1"), folder, LONGEST)
    (told,) = caplog.messages
    assert "different boards among the first 50 held-out games: 1; intervals will be too narrow" in told


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_an_optimizer_that_is_not_installed_is_an_error(folder: Path):
    refused(folder, "bitsandbytes is not installed; pip install", recipe(optim="adamw_bnb_8bit"))


@pytest.mark.parametrize(
    ("lora", "words"),
    [
        ({"rr": 4}, r"unknown key 'model.lora.rr' .*names are those of LoraConfig"),
        ({"exclude_modules": "x"}, "exclude_modules is not possible; say model.vision instead"),
    ],
)
def test_names_of_adapters_are_checked(folder: Path, lora: dict, words: str):
    refused(folder, words, recipe(Model(lora=lora, vision="frozen")))


def test_adapters_and_optimizers_for_whole_matrices_exclude_each_other():
    with pytest.raises(ValueError, match=r"model.lora takes the optimizer adamw"):
        replace(recipe(Model(lora={"r": 4})), cold_start=ColdStart(optimizer="muon"))


def test_a_run_that_was_refused_leaves_nothing_in_the_way_of_the_next(tmp_path: Path):
    bad = recipe(Model(width=64, depth=1), optim="adamw_bnb_8bit")
    if find_spec("bitsandbytes") is None:
        with pytest.raises(ValueError, match="bitsandbytes"):
            train(bad, tmp_path)
    good = recipe(Model(width=64, depth=2))
    train(good, tmp_path)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["text_config"]["num_hidden_layers"] == 2


def test_a_cold_start_is_refused_where_a_game_has_no_thoughts_and_grpo_alone_is_not(folder, monkeypatch):
    monkeypatch.setattr(type(find("2048")), "think", lambda self, state: None)
    asked = recipe()
    assert asked.cold_start is not None
    refused(
        folder,
        r"^2048 has no teacher for a cold start: it has no thoughts \(Game.think\); ",
        asked,
    )
    dry_run.check_loadable(replace(asked, cold_start=None), folder, LONGEST)
    teacher = replace(asked, data=replace(asked.data, teacher="openai:some-model"))
    assert not list(untaught(teacher))
