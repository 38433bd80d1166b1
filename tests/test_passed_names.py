"""Names of TRL in a recipe: passed through with their values, or refused with the reason."""

import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from trl import GRPOConfig, SFTConfig
from vlm_gym.trainers import settings
from vlm_gym.trainers.recipe import ColdStart, Grpo, Recipe, Task

from vlm_gym.config import read_value


def settled(**trl) -> tuple[SFTConfig, GRPOConfig]:
    task = (Task(game="2048"),)
    recipe = Recipe(task=task, cold_start=ColdStart(batch=12), grpo=Grpo(prompts_per_step=6, trl=trl))
    return settings.cold_start(recipe, Path("out")), settings.grpo(recipe, Path("out"))


def test_names_of_trl_are_passed_through():
    _, grpo = settled(num_generations=2, beta=0.1, epsilon=0.3, temperature=0.7, loss_type="dr_grpo")
    assert (grpo.beta, grpo.epsilon, grpo.temperature, grpo.loss_type) == (0.1, 0.3, 0.7, "dr_grpo")


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("learning_rate", "abc", "a number of 0 or more"),
        ("learning_rate", "1e-4", "a number of 0 or more"),
        ("learning_rate", float("nan"), "a number of 0 or more"),
        ("learning_rate", -1e-4, "a number of 0 or more"),
        ("max_grad_norm", "1", "a number"),
        ("max_grad_norm", float("nan"), "a number"),
        ("loss_type", "foo", "grpo, dapo, dr_grpo, bnpo, luspo, cispo, sapo, vespo"),
        ("lr_scheduler_type", "steep", "linear, cosine, "),
        ("lr_scheduler_kwargs", 3, "a table or text"),
        ("temperature", -1, "a number above 0"),
        ("temperature", 0, "a number above 0"),
        ("beta", -1, "a number of 0 or more"),
        ("top_p", 1.5, "a number above 0 and up to 1"),
        ("num_generations", 2.5, "a whole number of 2 or more"),
        ("num_generations", 1, "a whole number of 2 or more"),
        ("max_completion_length", 0, "a whole number of 1 or more"),
        ("per_device_train_batch_size", 0, "a whole number of 1 or more"),
        ("use_vllm", "yes", "true or false"),
        ("vllm_mode", "both", "colocate, server"),
        ("steps_per_generation", True, "a whole number of 1 or more"),
    ],
)
def test_values_that_trl_does_not_take_are_refused_by_their_key(name, value, takes):
    recipe = Recipe(task=(Task(game="2048"),), cold_start=ColdStart(), grpo=Grpo(trl={name: value}))
    told = f"grpo.trl.{name}={value!r} is not possible; grpo.trl.{name} takes {takes}"
    with pytest.raises(ValueError, match=re.escape(told)):
        settings.both(recipe, Path("out"), 1)


def test_values_of_the_cold_start_are_refused_as_well():
    recipe = Recipe(task=(Task(game="2048"),), cold_start=ColdStart(trl={"loss_type": "dapo"}))
    with pytest.raises(ValueError, match=r"cold_start\.trl\.loss_type='dapo' is not possible; .* nll, chu"):
        settings.both(recipe, Path("out"), 1)


def test_values_that_trl_takes_are_passed_on():
    taken = {"max_grad_norm": float("inf"), "lr_scheduler_kwargs": {"min_lr": 0.0}, "warmup_steps": 0.1}
    _, grpo = settled(num_generations=2, lr_scheduler_type="cosine_with_min_lr", optim="sgd", **taken)
    assert {name: getattr(grpo, name) for name in taken} == taken


@pytest.mark.parametrize(
    ("kind", "values", "trainer"),
    [
        (SFTConfig, settings.COLD_START_VALUES, "sft_trainer"),
        (GRPOConfig, settings.GRPO_VALUES, "grpo_trainer"),
    ],
)
def test_words_and_ranges_are_those_of_trl(kind, values, trainer):
    defaults = {entry.name: entry.default for entry in fields(kind)}
    source = "".join(
        Path(str(find_spec(f"trl.{module}").origin)).read_text()
        for module in (
            f"trainer.{trainer}",
            f"trainer.{trainer.replace('trainer', 'config')}",
            "generation.vllm_generation",
        )
    )
    for name, takes in values.items():
        if (default := defaults[name]) is not None:
            assert read_value(takes, default, name) == default
        for word in get_args(takes) if get_origin(takes) is Literal else ():
            assert f'"{word}"' in source or f"'{word}'" in source


def test_unknown_names_of_trl_are_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"unknown key 'grpo\.trl\.num_generation' \(did you mean") as error:
        settled(num_generation=2)
    assert "'num_generations'?); the names are those of GRPOConfig" in str(error.value)


@pytest.mark.parametrize("name", [*settings.ELSEWHERE_GRPO, *settings.FIXED_GRPO])
def test_names_that_a_recipe_decides_elsewhere_are_refused(name):
    with pytest.raises(
        ValueError, match=rf"grpo\.trl\.{name} is not possible; (say .+ instead|a run always sets it to .+)"
    ):
        settled(**{name: 1})


@pytest.mark.parametrize("name", [*settings.ELSEWHERE_COLD_START, *settings.FIXED_COLD_START])
def test_nothing_is_let_through_that_would_cut_pictures(name):
    recipe = Recipe(task=(Task(game="2048"),), cold_start=ColdStart(trl={name: 9}))
    with pytest.raises(
        ValueError,
        match=rf"cold_start\.trl\.{name} is not possible; (say .+ instead|a run always sets it to .+)",
    ):
        settings.cold_start(recipe, Path("out"))
    assert settled(num_generations=2)[0].max_length is None


@pytest.mark.parametrize(
    "name",
    [
        *("save_strategy", "save_only_model", "logging_steps", "logging_strategy", "eval_strategy"),
        *("load_best_model_at_end", "ignore_data_skip", "enable_jit_checkpoint"),
    ],
)
def test_names_with_which_a_run_could_not_go_on_are_refused_in_both_stages(name):
    assert name in settings.ELSEWHERE or name in settings.FIXED


def test_every_name_that_is_decided_elsewhere_is_one_of_trl():
    cold_start, grpo = settled(num_generations=2)
    assert all(hasattr(cold_start, name) for name in settings.ELSEWHERE_COLD_START)
    assert all(hasattr(grpo, name) for name in settings.ELSEWHERE_GRPO)
    for args, fixed in ((cold_start, settings.FIXED_COLD_START), (grpo, settings.FIXED_GRPO)):
        for name, value in fixed.items():
            kept = getattr(args, name)
            assert getattr(kept, "value", kept) == value, name


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_batch_is_the_same_over_any_number_of_processes(processes):
    task = (Task(game="2048"),)
    trl = {"num_generations": 4, "per_device_train_batch_size": 4}
    recipe = Recipe(task=task, cold_start=ColdStart(batch=12), grpo=Grpo(prompts_per_step=6, trl=trl))
    for args, whole in (
        (settings.cold_start(recipe, Path("out"), processes), 12),
        (settings.grpo(recipe, Path("out"), processes), 24),
    ):
        assert args.per_device_train_batch_size * args.gradient_accumulation_steps * processes == whole


def test_a_batch_that_does_not_divide_is_refused():
    task = (Task(game="2048"),)
    recipe = Recipe(task=task, cold_start=ColdStart(batch=12, trl={"per_device_train_batch_size": 5}))
    with pytest.raises(ValueError, match=r"cold_start\.batch=12 does not divide into 1 processes"):
        settings.cold_start(recipe, Path("out"))
    recipe = Recipe(task=task, grpo=Grpo(prompts_per_step=3, trl={"num_generations": 2}))
    with pytest.raises(ValueError, match=r"grpo\.prompts_per_step=3 do not go into 2 processes: a group"):
        settings.grpo(recipe, Path("out"), processes=2)
