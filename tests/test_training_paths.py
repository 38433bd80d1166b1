"""Files of training: literal paths, nothing of others replaced, and lines of steps that a crash has torn."""

import glob
import json
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from vlm_gym.trainers import recipe as recipes
from vlm_gym.trainers import tracking
from vlm_gym.trainers.data import parquet, teachers
from vlm_gym.trainers.learners.checkpoints import without_wildcards
from vlm_gym.trainers.recipe import ColdStart, Data, Model, Recipe, Task
from vlm_gym.trainers.train import _check_ours

from vlm_gym.rollouts.remote import OpenAI


def recipe(rows=4, **options) -> Recipe:
    task = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=2)
    return Recipe(task=(task,), data=Data(rows=rows), cold_start=ColdStart(), **options)


@pytest.mark.parametrize("name", ["[exp]", "a*b", "a?b", "{x}", "a b", "#1", "50%", "~", "ä"])
def test_rows_are_read_from_the_very_folder_whatever_its_name(name, tmp_path):
    neighbour = parquet.make_rows(recipe(3), tmp_path / "axb")
    made = parquet.make_rows(recipe(4), tmp_path / name)
    assert (len(parquet.open_rows(made)), len(parquet.open_rows(neighbour))) == (4, 3)


@pytest.mark.parametrize("name", ["[exp]", "a*b", "a?b", "[!x]", "plain"])
def test_a_checkpoint_is_found_by_glob_whatever_its_folder_is_called(name, tmp_path):
    (tmp_path / "axb/checkpoint-2/global_step1").mkdir(parents=True)
    checkpoint = tmp_path / name / "checkpoint-2"
    (checkpoint / "global_step2").mkdir(parents=True)
    with without_wildcards(checkpoint) as place:
        found = glob.glob(f"{place}/global_step*")  # noqa: PTH207, as DeepSpeed does it
        assert [Path(each).name for each in found] == ["global_step2"]
        assert place.samefile(checkpoint)
    assert (checkpoint / "global_step2").is_dir()


def test_a_folder_that_datasets_cannot_read_is_refused_before_rows_are_made(tmp_path):
    with pytest.raises(ValueError, match="choose another folder"):
        parquet.make_rows(recipe(), tmp_path / "a::b")
    assert not (tmp_path / "a::b").exists()


def test_rows_that_have_changed_are_read_anew(tmp_path):
    made = parquet.make_rows(recipe(3), tmp_path / "a")
    assert len(parquet.open_rows(made)) == 3
    made.write_bytes(parquet.make_rows(recipe(5), tmp_path / "b").read_bytes())
    assert len(parquet.open_rows(made)) == 5


def test_a_model_at_home_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Model(path="~/models/m").path == str(tmp_path / "models/m")
    changed = recipes.load_recipe(Path("quickstart"), ["model.path=~/m"])
    assert changed.model.path == str(tmp_path / "m")


FOREIGN = {
    "data.json": '{"mine": 1}',
    "rows.parquet": "mine",
    "preview.html": "<html>mine</html>",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_data_replace_no_file_of_something_else(name, tmp_path):
    (tmp_path / name).write_text(FOREIGN[name])
    with pytest.raises(ValueError, match="choose another folder"):
        parquet.make_rows(recipe(), tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: FOREIGN[name]}


@pytest.mark.parametrize("text", ["my notes", "my notes\n", '{"id": 1}\n', '{"id": 1}', '{"id"'])
def test_a_teacher_replaces_no_file_of_something_else(text, tmp_path):
    path = tmp_path / teachers.REPLIES
    path.write_text(text)
    with pytest.raises(ValueError, match="holds something else than replies to rows"):
        teachers.ModelTeacher(OpenAI("m", base_url="http://127.0.0.1:9/v1"), path, 8)
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "model", "report.html", "grpo"])
def test_a_run_replaces_nothing_of_something_else(name, tmp_path):
    (tmp_path / name).write_text('{"policies": {}}')
    with pytest.raises(ValueError, match="choose another folder"):
        _check_ours(tmp_path)
    (tmp_path / name).unlink()
    _check_ours(tmp_path)
    (tmp_path / "run.json").write_text('{"recipe": {}}')
    (tmp_path / "model").mkdir()
    _check_ours(tmp_path)


def test_lines_of_steps_are_kept_around_torn_ones(tmp_path):
    path = tmp_path / tracking.METRICS
    lines = [json.dumps({"stage": "grpo", "step": step, "loss": step / 3}) + "\n" for step in range(1, 6)]
    path.write_text("".join([lines[0], lines[1][:20], lines[2], lines[3], lines[4][:-9]]))
    tracking.cut(path, "grpo", 5)
    assert path.read_text() == lines[0] + lines[2] + lines[3]
