"""The base model that is shipped: it reads boards and writes replies in form, and recipes start from it."""

from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from transformers import AutoModelForImageTextToText
from vlm_gym.trainers.models.transformers_policy import Transformers, load_processor
from vlm_gym.trainers.planning.model_shapes import read_shape
from vlm_gym.trainers.recipe import Model, Shares, load_recipe, shipped_recipes
from vlm_gym.trainers.recipe.model import TINY_BASE
from vlm_gym.trainers.rewards import grade_completion
from vlm_gym.trainers.start_states import draw_positions

from vlm_gym.registry import find, names
from vlm_gym.thought import fragments

BASE = Path(Model(path=TINY_BASE).location)
LARGEST = 8 * 2**20
"""Bytes of the model with all its files, at most."""
MISREAD = ("breakout", "maze", "memory", "tetris")
"""Games whose boards it reads with mistakes, as its card says."""


@pytest.fixture(scope="module")
def policy() -> Transformers:
    return Transformers(str(BASE), max_tokens=160, batch=64)


def test_the_base_is_loaded_by_from_pretrained_and_is_small():
    assert sum(path.stat().st_size for path in BASE.rglob("*")) <= LARGEST
    model = AutoModelForImageTextToText.from_pretrained(BASE)
    assert model.config.model_type == "qwen3_vl"
    assert load_processor(str(BASE)).tokenizer("<perception>", add_special_tokens=False)["input_ids"]


def test_the_recipe_of_the_base_covers_every_game_and_teaches_no_thought():
    recipe = load_recipe(shipped_recipes()["base"])
    assert set(recipe.games) == set(names())
    assert recipe.data.teacher == "random"
    assert recipe.grpo is None


@pytest.mark.parametrize("name", names())
def test_the_base_reads_held_out_boards_and_replies_in_form(policy, name):
    recipe = load_recipe(shipped_recipes()["base"])
    task = max((task for task in recipe.task if task.game == name), key=lambda task: task.weight)
    drawn = draw_positions(task, Shares(fresh=1.0), 8, 2**40 + 7, recipe.context)
    requests = [task.request(position.state, position.past) for position in drawn]
    graded = [
        grade_completion(request, reply)
        for request, reply in zip(requests, policy.act(requests), strict=True)
    ]
    assert sum(one.numbers()["format"] for one in graded) == len(graded)
    right = sum(one.numbers()["perception"] for one in graded) / len(graded)
    assert right >= (0.7 if name in MISREAD else 0.97)


def test_sentences_of_thoughts_are_single_tokens_though_the_base_has_seen_none():
    tokenizer = load_processor(str(BASE)).tokenizer
    for name in ("2048", "swap", "shisen_sho"):
        for template in find(name).grammar:
            for fragment in fragments(template):
                if fragment.strip():
                    assert len(tokenizer(fragment, add_special_tokens=False)["input_ids"]) == 1, fragment


def test_settings_of_a_new_tiny_model_are_refused_for_the_base():
    with pytest.raises(ValueError, match=r'model\.path="tiny-base" is one model'):
        Model(path=TINY_BASE, width=256)


def test_the_plan_of_a_run_from_the_base_is_for_a_small_machine():
    recipe = load_recipe(shipped_recipes()["quickstart"])
    shape, reader = read_shape(Model(path=TINY_BASE), recipe.task)
    assert shape.parameters < 2_000_000
    assert reader.reply("<think>...</think>") < 12
