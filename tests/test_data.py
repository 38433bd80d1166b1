"""The rows of a cold start: what evaluation shows, what a teacher replies, made once."""

import json

import pytest

pytest.importorskip("datasets")

from vlm_gym.trainers import data
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Task

from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.rollouts.encode import png
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.record import to_state

TASKS = (
    Task(game="2048", reasoning="1", perception="level=0,size=128", moves=6),
    Task(game="swap", reasoning="1", perception="level=4,size=64", moves=3),
    Task(game="shisen_sho", reasoning="1", perception="level=2,size=96", weight=2, moves=4),
)


def recipe(rows=60, tasks=TASKS, seed=0, **settings):
    return Recipe(task=tasks, seed=seed, data=Data(rows=rows, **settings), cold_start=ColdStart())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return data.make(recipe(), tmp_path_factory.mktemp("data"))


def request(row):
    """Ask about a row's position as evaluation does."""
    game = find(row["game"])
    state = to_state(game, json.loads(row["state"]))
    task = Task(game=row["game"], perception=row["perception"])
    return Request(game, state, task.look, 0, instructions(game, state.knobs))


def test_words_and_pictures_are_those_of_evaluation(made):
    for row, raw in zip(
        data.rows(made), data.Dataset.from_parquet(str(made)).with_format("arrow"), strict=True
    ):
        asked = request(row)
        assert row["prompt"] == asked.messages()
        (picture,) = asked.pictures()
        assert [each["bytes"] for each in raw["images"][0].as_py()] == [png(picture)]
        assert (picture == row["images"][0]).all()
