"""What docs/training.md and the README tell of training: commands, keys, names of TRL, numbers."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from vlm_gym.trainers import launch, recipe, settings
from vlm_gym.trainers.models.tiny_families import TINY_PARTS
from vlm_gym.trainers.rewards import BUILT_IN, grade_completion

from vlm_gym import make_policy
from vlm_gym.cli import app
from vlm_gym.config import build
from vlm_gym.registry import find

pytestmark = pytest.mark.xdist_group("training_document")

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/training.md").read_text()
README = (ROOT / "README.md").read_text().partition("\n## Train\n")[2].partition("\n## ")[0]
LINES = re.findall(r"^(?:\$ )?(vlm-gym .*)", README + DOCUMENT, re.M)
TOLD = list(dict.fromkeys(line.split("  #")[0].strip() for line in LINES))
MANY = [command for command in TOLD if "--num-processes" in command]
"""What `test_processes.py` runs, on a recipe of its own."""
COMMANDS = [command for command in TOLD if command not in MANY]
OURS = [command for command in COMMANDS if "train configs/quickstart" in command]
LARGE = [command for command in COMMANDS if "train configs/g1" in command]
OTHERS = [command for command in COMMANDS if command not in OURS + LARGE]

ROWS = ["data.rows=12"]
COLD_START = ["cold_start.batch=4", "cold_start.steps=2", "cold_start.save=2"]
GRPO = [
    "grpo.prompts_per_step=3",
    "grpo.save=2",
    "grpo.episodes=1",
    "grpo.anchor.weight=0.1",
    "grpo.trl.beta=0.02",
]
REPLIES = ["grpo.trl.num_generations=2", "grpo.trl.max_completion_length=8"]
GAMES = ["evaluation.episodes=1", "evaluation.turns=2", "evaluation.max_tokens=8"]


def run(command: str, changes: list[str]) -> None:
    """Type a command with changes to its recipe, in this process."""
    program, *words = command.split()
    assert program == "vlm-gym"
    app([*words, *(word for change in changes for word in ("--set", change))], standalone_mode=False)


def small(command: str) -> list[str]:
    """Make a run of seconds in this process; one that goes on has a step more to do."""
    steps = 3 if "--resume" in command else 2
    return [
        "processes=1",
        *ROWS,
        *([] if "_g0" in command else COLD_START),
        *GRPO,
        *REPLIES,
        *GAMES,
        f"grpo.steps={steps}",
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the commands of the quickstart have been typed."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "configs").symlink_to(ROOT / "configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in OURS:
            run(command, small(command))
        yield folder


@pytest.fixture(scope="module")
def lines(place: Path) -> list[dict[str, Any]]:
    text = (place / "runs/quickstart/metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def section(title: str) -> str:
    return DOCUMENT.partition(f"# {title}\n")[2].partition("\n## ")[0].partition("\n### ")[0]


def table(title: str) -> list[list[str]]:
    """Read the rows of the table below a title."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    assert len(lines) > 2, title
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_there_is_something_to_try():
    assert [len(OURS), len(LARGE), len(OTHERS), len(MANY)] == [3, 3, 2, 2]


@pytest.mark.parametrize("command", MANY)
def test_what_many_processes_take_is_there(command):
    words = command.split()
    assert (ROOT / words[2]).exists()
    if "--accelerate" in words:
        assert words[words.index("--accelerate") + 1] in launch.shipped_accelerate()


def test_runs_go_on_and_stand_in_one_folder_each(place, lines):
    steps = [(line["stage"], line["step"]) for line in lines]
    assert steps == [("cold_start", 1), ("cold_start", 2), ("grpo", 1), ("grpo", 2), ("grpo", 3)]
    assert {path.name for path in (place / "runs").iterdir()} == {"quickstart", "quickstart_g0"}
    assert "cold_start" not in {path.name for path in (place / "runs/quickstart_g0").iterdir()}


@pytest.mark.parametrize("command", OTHERS)
def test_the_command_runs(place, command, capsys):
    run(command, ROWS if " data " in command else [])
    for written in re.findall(r"-o (\S+)", command):
        assert (place / written).exists()
    assert len(capsys.readouterr().out) > 10


@pytest.mark.slow
@pytest.mark.parametrize("command", LARGE)
def test_the_recipe_of_the_paper_runs_on_another_model(place, command):
    model = f"model.path={place / 'runs/quickstart/grpo/model'}"  # that of the hub would be downloaded
    changes = [change for change in small(command) if "save" not in change]
    parts = [f"{stage}.trl.per_device_train_batch_size=2" for stage in ("cold_start", "grpo")]
    run(command, [*changes, *parts, model])


def test_every_file_of_a_run_is_told(place):
    out = place / "runs/quickstart"
    names = {name.rstrip("/") for cell, _ in table("The folder of a run") for name in code(cell)}
    for name in names:
        assert (out / name.replace("-N", "-2")).exists(), name
    assert {path.name for path in out.iterdir()} == {name.split("/")[0] for name in names}


def keys(kind: type) -> Iterator[tuple[str, str]]:
    """List the keys of a table of a recipe, those of inner tables by a dot, and their defaults."""
    for entry in fields(kind):
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        if is_dataclass(default):
            inner = [(part.name, getattr(default, part.name)) for part in fields(default)]
            yield from ((f"{entry.name}.{name}", json.dumps(value, default=asdict)) for name, value in inner)
        else:
            yield entry.name, "" if default in (MISSING, None) else json.dumps(default)


def told(title: str) -> list[tuple[str, str]]:
    return [(key.strip("`"), default.strip("`")) for key, default, _ in table(title)]


@pytest.mark.parametrize("name", ["task", "model", "data", "cold_start", "grpo", "evaluation"])
def test_every_key_is_told_with_its_default(name):
    hint = get_type_hints(recipe.Recipe)[name]
    (kind,) = [each for each in (hint, *get_args(hint)) if is_dataclass(each)]
    assert told("`[[task]]`" if name == "task" else f"`[{name}]`") == list(keys(kind))


def test_every_key_of_the_run_is_told_or_has_a_table():
    tables = {name.strip("[]") for name in re.findall(r"^### `(\S+)`", DOCUMENT, re.M)}
    alone = [(key, default) for key, default in keys(recipe.Recipe) if key.split(".")[0] not in tables]
    assert told("The run") == alone
    assert tables == {entry.name for entry in fields(recipe.Recipe)} - {key for key, _ in alone}


def test_the_choices_of_a_key_are_told():
    for key in ("reward", "scale", "advantage_by", "turn_credit", "optimizer"):
        for choice in get_args(get_type_hints(recipe.Grpo)[key]):
            assert f"`{choice}`" in section("`[grpo]`") + section("`[cold_start]`")
    families = next(row for row in table("`[model]`") if row[0] == "`family`")
    assert set(code(families[2])) == set(TINY_PARTS)


def test_the_recipe_in_it_is_one():
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.S)
    made = build(recipe.Recipe, tomllib.loads(text))
    assert made.evaluation
    assert settings.grpo(made, Path("out")).num_generations == 8
    assert settings.cold_start(made, Path("out")).learning_rate == 2e-3


def test_the_recipes_that_are_there_are_listed():
    listed = {name for cell, _ in table("The recipe") for name in code(cell)}
    assert listed == {f"configs/{name}.toml" for name in recipe.shipped_recipes()}


def by_stage(title: str) -> dict[str, set[str]]:
    """Read a table of names, stages and explanations."""
    names = {"cold_start": set[str](), "grpo": set[str]()}
    for cell, stage, _ in table(title):
        for each in names if stage == "both" else [stage.lower().replace(" ", "_")]:
            names[each] |= set(code(cell))
    return names


def test_names_of_trl_that_are_refused_are_told_and_no_others():
    told = by_stage("TRL's names")
    assert told == {"cold_start": set(settings.ELSEWHERE_COLD_START), "grpo": set(settings.ELSEWHERE_GRPO)}
    always = set(code(section("TRL's names").partition("A run always sets")[2]))
    assert always == {*settings.FIXED_COLD_START, *settings.FIXED_GRPO}


def test_every_term_of_a_reward_is_told():
    assert [code(row[0])[0] for row in table("Rewards")] == list(BUILT_IN)


def test_every_number_is_explained_and_none_is_invented(lines):
    task = recipe.Task(game="2048")
    asked = task.request(find("2048").start(0, task.knobs))
    (right,) = make_policy("solver").act([asked])
    graded = grade_completion(asked, right).numbers()  # who reads rightly has every name
    games = "|".join(recipe.load_recipe(ROOT / "configs/quickstart.toml").games)
    seen = {"cold_start": set[str](), "grpo": {f"GAME/{name}" for name in graded}}
    for line in lines:
        for name in line.keys() - {"stage", "step"}:
            general = re.sub(rf"\b({games})/", "GAME/", name)
            seen[line["stage"]].add(re.sub(rf"^rewards/({'|'.join(BUILT_IN)})/", "rewards/TERM/", general))
    for names in seen.values():
        names |= {f"greedy/GAME/{name}" for name in graded}
    assert by_stage("Metrics") == seen


LINKS = re.findall(r"\]\(([^):]+)\)", DOCUMENT)


@pytest.mark.parametrize("link", LINKS)
def test_the_link_leads_somewhere(link):
    path, _, anchor = link.partition("#")
    there = ROOT / "docs" / (path or "training.md")
    assert there.exists()
    titles = re.findall(r"^#+ (.*)$", there.read_text(), re.M) if anchor else []
    assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}
