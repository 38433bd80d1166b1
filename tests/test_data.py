"""The rows of a cold start: what evaluation shows, what a teacher replies, made once."""

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("datasets")

import pyarrow.parquet as pq
from datasets import config, load_dataset
from PIL import Image
from vlm_gym.trainers.data import cold_start_rows, parquet
from vlm_gym.trainers.data.preview import highlight
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Shares, Task, divide

from vlm_gym.actions import parse_for
from vlm_gym.episode import held_out
from vlm_gym.game import TEST
from vlm_gym.prompt import solution
from vlm_gym.recordings.record import to_state
from vlm_gym.registry import find
from vlm_gym.render.encode import png

TASKS = (
    Task(game="2048", reasoning="1", perception="level=0,size=128", moves=6),
    Task(game="swap", reasoning="1", perception="level=4,size=96", moves=3),
    Task(game="shisen_sho", reasoning="1", perception="level=2,size=96", weight=2, moves=4),
)
FIRST_MOVES = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=1)
"""Few positions: two or three tiles."""


def recipe(rows=60, tasks=TASKS, seed=0, **settings):
    return Recipe(task=tasks, seed=seed, data=Data(rows=rows, **settings), cold_start=ColdStart())


def request(row):
    """Make the request for a row's position, as evaluation does."""
    task = Task(game=row["game"], reasoning=row["reasoning"], perception=row["perception"])
    return task.request(to_state(find(row["game"]), json.loads(row["state"])))


def reply(row):
    ((block,),) = (message["content"] for message in row["completion"])
    return block["text"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return parquet.make_rows(recipe(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def rows(made):
    return list(parquet.open_rows(made))


def test_words_and_pictures_are_those_of_evaluation(made, rows):
    for row, raw in zip(rows, pq.read_table(made).to_pylist(), strict=True):
        asked = request(row)
        (picture,) = asked.pictures()
        assert row["prompt"] == asked.messages()
        assert [image["bytes"] for image in raw["images"]] == [png(picture)]
        (image,) = row["images"]
        assert isinstance(image, Image.Image)
        assert (picture == image).all()


def test_replies_are_the_solvers_and_say_what_they_are_worth(rows):
    for row in rows:
        asked = request(row)
        plan = asked.game.solve(asked.state)
        assert row["completion"] == [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": solution(asked.game, asked.state)}],
            }
        ]
        assert row["value"] == plan.value


def test_no_row_is_of_the_test_stream_and_none_is_over(rows):
    for row in rows:
        state = request(row).state
        assert state.seed < TEST
        assert not state.over
        assert not held_out(find(row["game"]), state)
    assert any(request(row).state.turn for row in rows)


def test_rows_are_shared_out_by_weight_and_mixed(rows):
    assert Counter(row["game"] for row in rows) == {"2048": 15, "swap": 15, "shisen_sho": 30}
    assert len({row["game"] for row in rows[:12]}) == 3
    assert {row["perception"] for row in rows} == {task.perception for task in TASKS}


def test_weights_that_do_not_divide_give_as_many_rows_as_asked_for():
    assert divide(100, [1.0, 1.0, 1.0]) == [33, 34, 33]


def test_no_two_rows_of_a_task_show_the_same(tmp_path):
    made = parquet.make_rows(recipe(100, (FIRST_MOVES,)), tmp_path)
    boards = [reply(row).partition("</perception>")[0] for row in parquet.open_rows(made)]
    assert len(boards) == len(set(boards)) == 100


def test_two_looks_of_one_level_each_get_their_rows(tmp_path):
    tasks = FIRST_MOVES, replace(FIRST_MOVES, perception="level=4,size=64")
    made = parquet.make_rows(recipe(20, tasks), tmp_path)
    assert Counter(row["perception"] for row in parquet.open_rows(made)) == {t.perception: 10 for t in tasks}


def test_a_task_of_too_few_positions_is_an_error_that_says_so(tmp_path):
    deals = Shares(fresh=1, walk=0)
    tiny = Task(game="shisen_sho", reasoning="rows=2,cols=2,kinds=1", perception="level=0,size=64")
    with pytest.raises(ValueError, match=r"40 different positions are wanted, but only .*game='shisen_sho'"):
        parquet.make_rows(recipe(40, (tiny,), shares=deals), tmp_path)
    assert not (tmp_path / "rows.parquet").exists()


def test_a_seed_fixes_the_file_whatever_the_number_of_processes(made, tmp_path):
    assert parquet.make_rows(recipe(), tmp_path / "again", workers=2).read_bytes() == made.read_bytes()
    assert parquet.make_rows(recipe(seed=1), tmp_path / "other").read_bytes() != made.read_bytes()


def test_made_data_are_not_made_again(made):
    before = made.stat().st_mtime_ns, made.stat().st_ino
    assert parquet.make_rows(recipe(), made.parent) == made
    assert (made.stat().st_mtime_ns, made.stat().st_ino) == before


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (recipe(61), r"recipe\.data\.rows is 60 there and 61 here"),
        (recipe(seed=1), r"recipe\.seed is 0 there and 1 here"),
        (recipe(tasks=TASKS[:2]), r"recipe\.task has 3 entries there and 2 here"),
        (recipe(shares=Shares(walk=1)), r"recipe\.data\.shares\.solver is 0\.5 there and 0\.0 here"),
    ],
)
def test_a_folder_of_other_data_is_left_alone(made, other, told):
    before = made.read_bytes()
    with pytest.raises(ValueError, match=told + "; choose another folder"):
        parquet.make_rows(other, made.parent)
    assert made.read_bytes() == before


def test_what_only_training_depends_on_may_change(made):
    assert parquet.make_rows(
        replace(recipe(), about="x", threads=1, cold_start=ColdStart(batch=8)), made.parent
    )


KILLED = """
import os, signal
from pathlib import Path
from vlm_gym.trainers.data import parquet
from vlm_gym.trainers.recipe import load_recipe
def killed(*given):
    os.kill(os.getpid(), signal.SIGKILL)
parquet.preview = killed
parquet.make_rows(load_recipe(Path("recipe.toml")), Path("data"))
"""


def test_what_was_killed_on_its_way_is_made_anew(tmp_path):
    (tmp_path / "recipe.toml").write_text(
        '[data]\nrows = 10\n[[task]]\ngame = "2048"\nreasoning = "0"\nmoves = 2\n[cold_start]\n'
    )
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "data/rows.parquet").exists()
    task = Task(game="2048", reasoning="0", moves=2)
    made = parquet.make_rows(recipe(10, (task,)), tmp_path / "data")
    assert len(parquet.open_rows(made)) == 10
    assert sorted(path.name for path in made.parent.iterdir()) == [
        "cache",
        "data.json",
        "preview.html",
        "rows.parquet",
    ]


def test_rows_leave_nothing_outside_their_folder(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", home)
    made = parquet.make_rows(recipe(4, (FIRST_MOVES,)), tmp_path / "data")
    assert len(list(parquet.open_rows(made))) == 4
    assert not home.exists()


def test_who_wants_data_that_are_being_made_waits_for_them(tmp_path, monkeypatch):
    made, write = [], parquet._write
    monkeypatch.setattr(parquet, "_write", lambda *given: (made.append(given), write(*given)))
    with ThreadPoolExecutor(2) as crew:
        asked = [crew.submit(parquet.make_rows, recipe(30, (FIRST_MOVES,)), tmp_path) for _ in range(2)]
        assert {each.result() for each in asked} == {tmp_path / "rows.parquet"}
    assert len(made) == 1


@pytest.mark.parametrize(("limit", "groups"), [({"_GROUP": 8}, 25), ({"_BYTES": 1}, 200)])
def test_few_rows_are_in_memory_at_once(tmp_path, monkeypatch, limit, groups):
    for name, value in limit.items():
        monkeypatch.setattr(parquet, name, value)
    most, alive = 0, 0

    class Counted(bytes):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def counted(frame):
        nonlocal most, alive
        alive += 1
        most = max(most, alive)
        return Counted(png(frame))

    monkeypatch.setattr(cold_start_rows, "png", counted)
    made = parquet.make_rows(recipe(200, (FIRST_MOVES,)), tmp_path)
    assert pq.ParquetFile(made).num_row_groups == groups
    assert most <= 8 + 2 * 32


def test_others_read_the_file_as_it_is(made, rows):
    plain = load_dataset("parquet", data_files=str(made), split="train")
    assert plain.features == parquet.FEATURES
    assert [row["state"] for row in plain] == [row["state"] for row in rows]
    assert [row["images"][0].tobytes() for row in plain] == [row["images"][0].tobytes() for row in rows]


def test_the_page_shows_rows_of_every_task_and_calls_nobody(made, rows):
    page = (made.parent / "preview.html").read_text()
    assert page.count("<article>") == 24
    assert "60 rows by solver, seed 0." in page
    for row in rows[:3]:
        assert highlight(reply(row)) in page
    assert not [word for word in ("http:", "https:", "<script", "url(") if word in page]


def test_a_reply_is_shown_by_its_sections():
    shown = highlight("ah <think>a < b</think><answer>up</answer>")
    assert shown == (
        '<span class="outside">ah </span><span class="tag think">&lt;think&gt;</span>'
        '<span class="think">a &lt; b</span><span class="tag think">&lt;/think&gt;</span>'
        '<span class="tag answer">&lt;answer&gt;</span><span class="answer">up</span>'
        '<span class="tag answer">&lt;/answer&gt;</span>'
    )


def test_every_reply_is_legal_and_well_formed(rows):
    for row in rows:
        asked = request(row)
        said = parse_for(asked.game, asked.state, reply(row))
        assert said.well_formed
        assert asked.game.scene(asked.state).grade(said.perception) == 1.0
