"""Recipes: what a file and ``--set`` may say, and what is said where they may not."""

import json
import re
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner

pytest.importorskip("trl", reason="the extra `train` is not installed")

from vlm_gym.trainers import settings
from vlm_gym.trainers.recipe import Grpo, Model, Recipe, Task, load_recipe, shipped_recipes
from vlm_gym.trainers.recipe.model import TINY_BASE

from vlm_gym.config import build
from vlm_gym.registry import find

TEXT = """
seed = 3
[[task]]
game = "2048"
[[task]]
game = "swap"
reasoning = "1"
[evaluation]
turns = 4
[cold_start]
[grpo]
steps = 9
[grpo.trl]
num_generations = 4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


def test_a_file_becomes_a_recipe_with_the_defaults_of_the_paper(file):
    recipe = load_recipe(file)
    assert recipe.games == ["2048", "swap"]
    assert (recipe.seed, recipe.grpo.steps, recipe.grpo.trl) == (3, 9, {"num_generations": 4})
    assert recipe.grpo.weights == {"game": 1, "format": 1, "perception": 0, "thought": 0}
    assert (recipe.grpo.reward, recipe.grpo.scale) == ("paper", "group")


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("grpo.steps=80", lambda recipe: recipe.grpo.steps == 80),
        ("task.1.weight=2", lambda recipe: [task.weight for task in recipe.task] == [1.0, 2.0]),
        ("task.1.game=2048", lambda recipe: [task.game for task in recipe.task] == ["2048"] * 2),
        ("task.1.reasoning=0", lambda recipe: recipe.task[1].reasoning == "0"),
        ("task.0.reasoning=level=1,turns=3", lambda recipe: recipe.task[0].knobs.turns == 3),
        ("model.path=Qwen/Qwen3-VL-2B-Instruct", lambda recipe: recipe.model.path.startswith("Qwen/")),
        ('model.path="tiny"', lambda recipe: recipe.model.path == "tiny"),
        ("grpo.trl.learning_rate=1e-3", lambda recipe: recipe.grpo.trl["learning_rate"] == 1e-3),
        ("grpo.shares.walk=1", lambda recipe: recipe.grpo.shares.walk == 1.0),
        ("evaluation.temperatures=[0.0]", lambda recipe: recipe.evaluation.temperatures == (0.0,)),
        ('trackers=["tensorboard"]', lambda recipe: recipe.trackers == ("tensorboard",)),
    ],
)
def test_a_value_is_changed_by_its_place(file, change, read):
    assert read(load_recipe(file, [change]))


def test_the_value_lost_was_a_reward_and_is_a_credit(file):
    earlier = load_recipe(file, ["grpo.reward=value"])
    assert (earlier.grpo.reward, earlier.grpo.turn_credit) == ("goal", "solver")
    assert earlier == load_recipe(file, ["grpo.reward=goal", "grpo.turn_credit=solver"])
    assert build(Recipe, json.loads(json.dumps(earlier.resolved()))) == earlier


def test_later_changes_win(file):
    assert load_recipe(file, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("grpo.step=80", "unknown key 'grpo.step' (did you mean 'steps'?)"),
        ("sead=1", "unknown key 'sead' (did you mean 'seed'?)"),
        ("grpo.steps=many", "grpo.steps='many' is not possible; grpo.steps takes a whole number"),
        (
            "grpo.reward=pay",
            "grpo.reward='pay' is not possible; grpo.reward takes paper, goal, progress, value",
        ),
        (
            'trackers=["wandb", "tensorbord"]',
            "trackers[1]='tensorbord' is not possible (did you mean 'tensorboard'?); "
            "trackers[1] takes tensorboard, trackio, wandb",
        ),
        ("grpo.steps", "'grpo.steps' is not possible; changes are written as grpo.steps=80"),
        ("task.2.weight=1", "'task.2.weight=1' is not possible; entries are numbered from 0 to 1"),
        ("task.weight=1", "'task.weight=1' is not possible; name a key of one of the 2 entries"),
        ("task.last.weight=1", "'task.last.weight=1' is not possible; entries are numbered from 0 to 1"),
        ("seed.of=1", "'seed.of=1' is not possible; seed holds no further keys"),
        ("task.0.game=chess", "unknown game 'chess'"),
        ("task.1.reasoning=9", "unknown reasoning level '9'"),
        ("task.0.reasoning=9", "task[0].reasoning=9 is not possible; task[0].reasoning takes text"),
        ("task.0.perception=level=0,sise=64", "unknown perception knob 'sise' (did you mean 'size'?)"),
        ("data.shares.on_policy=1", "data.shares.on_policy is not possible: nobody has played yet"),
        ("data.shares={walk=0, solver=0}", "data.shares are all 0; one of them has to be above"),
        ("grpo.shares.walk=0", "grpo.shares are all 0; one of them has to be above"),
        ("evaluation.turns=1000000", "[evaluation]: turns=1000000 is not possible; it takes one or more"),
        (
            'task=[{game="swap"}, {game="swap", reasoning="level=2,turns=9"}]',
            "[evaluation]: swap p0 rlevel=2,turns=9,turns=4 is there twice",
        ),
        ('task=[{game="2048"}, {game="2048"}]', "a [[task]] is there twice"),
        ("task=[]", "a recipe takes one [[task]] or more"),
    ],
)
def test_what_is_not_possible_ends_in_one_line_that_says_why(file, change, told):
    with pytest.raises(ValueError, match=r".+") as error:
        load_recipe(file, [change])
    words = str(error.value)
    assert told in words
    assert words.startswith(f"{file}: ")
    assert "\n" not in words


COUNT, SOME, AMOUNT = "a whole number from 0 to ", "a whole number from 1 to ", "a number of 0 or more"


OUT_OF_RANGE = [
    *((f"{key}=0", SOME) for key in ("processes", "model.depth", "data.rows", "cold_start.batch")),
    *((f"{key}=0", SOME) for key in ("cold_start.save", "grpo.steps", "grpo.prompts_per_step", "grpo.save")),
    *((f"{key}=0", SOME) for key in ("grpo.episodes", "evaluation.episodes", "evaluation.turns")),
    *((f"{key}=0", SOME) for key in ("evaluation.max_tokens", "evaluation.batch")),
    *((f"{key}=-1", SOME) for key in ("grpo.steps", "data.rows", "cold_start.save")),
    *((f"{key}=-1", COUNT) for key in ("threads", "cold_start.steps", "task.1.moves")),
    *((f"grpo.shares.{kind}=-1.0", AMOUNT) for kind in ("fresh", "walk", "solver", "on_policy")),
    *((f"{key}=-1.0", AMOUNT) for key in ("data.shares.fresh", "grpo.anchor.weight")),
    *((f"{key}=nan", AMOUNT) for key in ("data.shares.fresh", "grpo.anchor.weight", "grpo.shares.walk")),
    *((f"{key}=inf", AMOUNT) for key in ("grpo.anchor.weight", "grpo.shares.walk")),
    ("grpo.weights.game=nan", "a number that is finite"),
    ("grpo.weights.game=inf", "a number that is finite"),
    ("task.1.weight=-1.0", "a number above 0"),
    ("task.1.weight=0.0", "a number above 0"),
    ("grpo.greedy=1.5", "a number from 0 to 1"),
    ("grpo.dynamic_sampling=-1", "a whole number from 0 to 255"),
    ("seed=-1", "a whole number from 0 to 4294967295"),
    ("seed=4294967296", "a whole number from 0 to 4294967295"),
    ("model.width=0", "a whole number from 64 to 16384"),
]


@pytest.mark.parametrize(("change", "takes"), OUT_OF_RANGE)
def test_a_value_out_of_its_range_is_refused_by_its_place(file, change, takes):
    place, _, value = change.partition("=")
    place = place.replace("task.1.", "task[1].")
    told = f"{file}: {place}={value} is not possible; {place} takes {takes}"
    with pytest.raises(ValueError, match=re.escape(told)):
        load_recipe(file, [change])


def test_every_number_of_a_recipe_has_a_range():
    """A number without one would be found out of range after hours, or never."""

    def numbers(kind: type, place: str) -> Iterator[tuple[str, object]]:
        for name, hint in get_type_hints(kind, include_extras=True).items():
            for each in (hint, *get_args(hint)):
                if isinstance(each, type) and is_dataclass(each):
                    yield from numbers(each, f"{place}{name}.")
                elif each in (int, float) and get_origin(hint) is not Annotated:
                    yield f"{place}{name}", each

    assert list(numbers(Recipe, "")) == []


def test_a_value_in_a_list_is_refused_by_its_number(file):
    told = r"evaluation\.temperatures\[1\]=-1\.0 is not possible; .* takes a number of 0 or more"
    with pytest.raises(ValueError, match=told):
        load_recipe(file, ["evaluation.temperatures=[0.0, -1.0]"])


def test_the_ends_of_a_range_are_in_it(file):
    ends = [
        "seed=4294967295",
        "grpo.greedy=1",
        "grpo.dynamic_sampling=255",
        "grpo.anchor.weight=0",
        "task.1.weight=1e-9",
    ]
    recipe = load_recipe(file, ends)
    assert (recipe.seed, recipe.grpo.greedy, recipe.grpo.dynamic_sampling) == (2**32 - 1, 1.0, 255)


def test_a_recipe_trains_something(file):
    file.write_text('[[task]]\ngame = "2048"\n')
    with pytest.raises(ValueError, match=r"takes \[cold_start\], \[grpo\] or both"):
        load_recipe(file)


def test_a_file_that_is_not_there_or_not_toml_is_named(file, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"there is no recipe .*/none\.toml; give the path of .* tiny_cpu"
    ):
        load_recipe(tmp_path / "none.toml")
    near = r"no recipe configs/quickstar\.toml \(did you mean 'quickstart'\?\); give .*, or one of .*_g0"
    with pytest.raises(FileNotFoundError, match=near):
        load_recipe(Path("configs/quickstar.toml"))
    with pytest.raises(FileNotFoundError, match="there is no recipe"):
        load_recipe(tmp_path)
    file.write_text("grpo = [")
    with pytest.raises(ValueError, match=r"mine\.toml: "):
        load_recipe(file)


def test_shipped_recipes_load_by_name():
    assert "quickstart" in shipped_recipes()
    for name, path in shipped_recipes().items():
        assert load_recipe(Path(name)) == load_recipe(path)
        assert [find(game).name for game in load_recipe(path).games] == load_recipe(path).games


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.endswith("_g0")])
def test_a_recipe_without_its_cold_start_is_else_the_same(name):
    alone, whole = load_recipe(Path(name)), load_recipe(Path(name.removesuffix("_g0")))
    assert alone.cold_start is None
    # A teacher's replies as an anchor would be a cold start by another name.
    assert alone.grpo.anchor.source == "perception"
    # Rewards alone teach a tiny model nothing that cannot write replies in form: it starts from the base.
    assert alone.model in (whole.model, Model(path=TINY_BASE))
    grpo = replace(whole.grpo, anchor=alone.grpo.anchor)
    same = {"about": alone.about, "model": alone.model, "data": alone.data}
    assert replace(whole, **same, cold_start=None, grpo=grpo) == alone


def test_a_resolved_recipe_is_plain_and_reads_back(file):
    recipe = load_recipe(file, ["evaluation.temperatures=[0.5]"])
    plain = json.loads(json.dumps(recipe.resolved()))
    assert build(Recipe, plain) == recipe
    assert plain["grpo"]["prompts_per_step"] == Grpo().prompts_per_step  # defaults, too, are spelled out


def test_the_command_ends_in_one_line(file, monkeypatch, capsys):
    from vlm_gym import cli

    monkeypatch.setattr("sys.argv", ["vlm-gym", "train", str(file), "--set", "grpo.step=1"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    words = capsys.readouterr().err
    assert words.strip().count("\n") == 0
    assert "did you mean 'steps'?" in words
    assert CliRunner().invoke(cli.app, ["train", "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("threads=1000000000", "threads=1000000000 is not possible; threads takes a whole number from 0 to"),
        ("threads=-1", "threads=-1 is not possible"),
        ("processes=1000000", "processes=1000000 is not possible"),
        ("data.rows=1000000000000", r"data\.rows=1000000000000 is not possible"),
        ("model.depth=100000", r"model\.depth=100000 is not possible; .* from 1 to 1000"),
        ("model.width=1000000", r"model\.width=1000000 is not possible"),
        ("model.width=100", r"model\.width=100 is not possible; model\.width is a multiple of 64"),
        ("task.0.moves=10000000000", r"moves=10000000000 is not possible"),
        ("cold_start.batch=10000000000", r"cold_start\.batch=10000000000 is not possible"),
        ("cold_start.steps=10000000000", r"cold_start\.steps=10000000000 is not possible"),
        ("cold_start.save=10000000000", r"cold_start\.save=10000000000 is not possible"),
        ("grpo.steps=10000000000", r"grpo\.steps=10000000000 is not possible"),
        ("grpo.prompts_per_step=10000000000", r"grpo\.prompts_per_step=10000000000 is not possible"),
        ("grpo.episodes=10000000000", r"grpo\.episodes=10000000000 is not possible"),
        ("grpo.save=10000000000", r"grpo\.save=10000000000 is not possible"),
        ("evaluation.episodes=10000000000", r"evaluation\.episodes=10000000000 is not possible"),
        ("evaluation.batch=10000000000", r"evaluation\.batch=10000000000 is not possible"),
        ("evaluation.max_tokens=10000000000", r"evaluation\.max_tokens=10000000000 is not possible"),
        ("evaluation.temperatures=[0,1,0]", r"evaluation\.temperatures=\[0\.0, 1\.0, 0\.0\] names one twice"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_name(change, told):
    with pytest.raises(ValueError, match=told) as refused:
        load_recipe(Path("quickstart"), [change])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "cude", "tpu", "cpu:x", ""])
def test_a_device_that_is_not_there_is_refused_in_one_line(device):
    import torch
    from vlm_gym.trainers.models.transformers_policy import usable

    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="cannot be used here") as refused:
        usable(device)
    assert "\n" not in str(refused.value)
    assert usable("cpu") == "cpu"


@pytest.mark.parametrize("extra", [{"num_iterations": 2}, {"steps_per_generation": 2}])
def test_no_checkpoint_lies_between_steps_that_learn_from_the_same_replies(extra):
    def asked(steps: int, save: int) -> Recipe:
        trl = {"num_generations": 2, **extra}
        return Recipe(
            task=(Task(game="2048"),), grpo=Grpo(prompts_per_step=2, steps=steps, save=save, trl=trl)
        )

    assert settings.grpo(asked(4, 2), Path("out")).save_steps == 2
    for steps, save, name in ((4, 3, "save=3"), (3, 2, "steps=3")):
        with pytest.raises(ValueError, match=rf"grpo\.{name} is not possible; .* is a multiple of 2"):
            settings.grpo(asked(steps, save), Path("out"))
