"""Rows in the formats of other trainers: read back as those read them, and nothing is lost."""

import json
import re
import shlex
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("datasets")

import pyarrow.parquet as pq
from datasets import load_dataset
from PIL import Image
from typer.testing import CliRunner
from vlm_gym.trainers.data import exports, parquet, teachers
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Task, load_recipe

from vlm_gym.cli import app
from vlm_gym.recordings.record import to_state
from vlm_gym.registry import find

DOCUMENT = (Path(__file__).parents[1] / "docs/data.md").read_text()
RECIPE = """
[data]
rows = 12
[[task]]
game = "2048"
reasoning = "1"
perception = "level=0,size=64"
moves = 6
[[task]]
game = "shisen_sho"
reasoning = "1"
perception = "level=4,size=96"
moves = 3
[cold_start]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    tasks = (
        Task(game="2048", reasoning="1", perception="level=0,size=64", moves=6),
        Task(game="shisen_sho", reasoning="1", perception="level=4,size=96", moves=3),
    )
    return parquet.make_rows(
        Recipe(task=tasks, data=Data(rows=12), cold_start=ColdStart()), tmp_path_factory.mktemp("data")
    )


@pytest.fixture(scope="module")
def raw(made):
    return pq.read_table(made).to_pylist()


def blocks(text):
    """Split text at its marks into typed blocks, as both trainers do."""
    made = []
    for number, part in enumerate(text.split("<image>")):
        made += [{"type": "image"}] * bool(number) + [{"type": "text", "text": part}] * bool(part)
    return made


def test_llamafactory_finds_every_message_and_every_picture(made, raw):
    out = exports.export(made, "llamafactory")
    (description,) = json.loads((out / "dataset_info.json").read_text()).values()
    columns, tags = description["columns"], description["tags"]
    assert description["formatting"] == "sharegpt"
    entries = json.loads((out / description["file_name"]).read_text())
    for entry, row, shown in zip(entries, raw, parquet.open_rows(made), strict=True):
        asked, answered = entry[columns["messages"]]
        assert asked[tags["role_tag"]] == tags["user_tag"]
        assert answered[tags["role_tag"]] == tags["assistant_tag"]
        assert [{"role": "user", "content": blocks(asked[tags["content_tag"]])}] == shown["prompt"]
        assert blocks(answered[tags["content_tag"]]) == shown["completion"][0]["content"]
        pictures = entry[columns["images"]]
        assert [(out / path).read_bytes() for path in pictures] == [each["bytes"] for each in row["images"]]
    everything = sorted(path for entry in entries for path in entry["images"])
    assert everything == sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))


def test_llamafactory_can_open_it_by_datasets_too(made):
    out = exports.export(made, "llamafactory")
    read = load_dataset("json", data_files=str(out / "rows.json"), split="train")
    assert set(read.column_names) == {"messages", "images"}
    assert len(read) == 12


def test_easyr1_finds_problems_pictures_and_answers(made, raw):
    out = exports.export(made, "easyr1")
    read = load_dataset("parquet", data_dir=str(out), split="train")
    for entry, row, shown in zip(read, raw, parquet.open_rows(made), strict=True):
        assert [{"role": "user", "content": blocks(entry["problem"])}] == shown["prompt"]
        (image,) = entry["images"]
        assert image.tobytes() == Image.open(BytesIO(row["images"][0]["bytes"])).tobytes()
        position = json.loads(entry["position"])
        game = find(position["game"])
        state = to_state(game, position["state"])
        assert entry["answer"] == game.solve(state).action
        assert f"<answer>{entry['answer']}</answer>" in shown["completion"][0]["content"][0]["text"]
    bare = pq.read_table(out / "rows.parquet").to_pylist()
    assert [entry["images"] for entry in bare] == [row["images"] for row in raw]


def test_the_documents_reward_function_scores_replies_by_the_game(made):
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", DOCUMENT, re.S) if "compute_score" in code)
    room = {}
    exec(code, room)
    out = exports.export(made, "easyr1")
    for entry in pq.read_table(out / "rows.parquet").to_pylist():
        position = json.loads(entry["position"])
        game = find(position["game"])
        step = game.step(to_state(game, position["state"]), entry["answer"])
        replies = [f"<answer>{entry['answer']}</answer>", "no"]
        asked = [{"response": each, "ground_truth": entry["position"]} for each in replies]
        assert [score["overall"] for score in room["compute_score"](asked)] == [
            step.reward,
            game.illegal(step.state.knobs),
        ]


def test_trl_reads_the_rows_themselves(made, tmp_path):
    collators = pytest.importorskip("trl.trainer.sft_trainer")
    tiny = import_module("vlm_gym.trainers.models.tiny")
    policy = import_module("vlm_gym.trainers.models.transformers_policy")
    tiny.build_model(tmp_path, [("2048", "1"), ("shisen_sho", "1")])
    processor = policy.load_processor(str(tmp_path))
    collate = collators.DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    assert exports.export(made, "trl") == made
    for row in parquet.open_rows(made).select(range(4)):
        state = to_state(find(row["game"]), json.loads(row["state"]))
        task = Task(game=row["game"], reasoning=row["reasoning"], perception=row["perception"])
        shown = policy.encode_requests(processor, [task.request(state)])
        batch, asked = collate([dict(row)]), shown["input_ids"].shape[1]
        assert (batch["input_ids"][:, :asked] == shown["input_ids"]).all()
        assert (batch["pixel_values"] == shown["pixel_values"]).all()
        assert (batch["labels"][:, :asked] == -100).all()
        learned = processor.tokenizer.decode(batch["labels"][0, asked:])
        assert learned.startswith(row["completion"][0]["content"][0]["text"])


def test_what_is_there_is_not_written_again_and_what_was_stopped_is(made, tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(made.read_bytes())
    (tmp_path / "easyr1.part").mkdir()
    (tmp_path / "easyr1.part" / "half").touch()
    out = exports.export(path, "easyr1")
    assert [each.name for each in out.iterdir()] == ["rows.parquet"]
    before = (out / "rows.parquet").stat().st_mtime_ns
    exports.export(path, "easyr1")
    assert (out / "rows.parquet").stat().st_mtime_ns == before


def test_a_mark_for_a_picture_that_is_not_there_is_an_error(made, tmp_path):
    table = pq.read_table(made)
    wrong = table.to_pylist()
    wrong[3]["completion"][0]["content"][0]["text"] += "<image>"
    pq.write_table(type(table).from_pylist(wrong, table.schema), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="2 marks <image> for 1 pictures"):
        exports.export(tmp_path / "rows.parquet", "llamafactory")
    assert not (tmp_path / "llamafactory").exists()


def test_unknown_formats_are_refused_with_the_nearest_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(RECIPE)
    done = CliRunner().invoke(app, ["data", "mine.toml", "-o", "data", "--format", "easyr"])
    assert str(done.exception).startswith("unknown format 'easyr' (did you mean 'easyr1'?); formats: trl,")
    assert not Path("data").exists()


def test_without_the_extra_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("parquet", "exports", "preview"):
        monkeypatch.delitem(sys.modules, f"vlm_gym.trainers.data.{name}", raising=False)
    (tmp_path / "mine.toml").write_text(RECIPE)
    done = CliRunner().invoke(app, ["data", str(tmp_path / "mine.toml"), "-o", str(tmp_path / "data")])
    assert isinstance(done.exception, ValueError)
    assert str(done.exception) == 'training needs pyarrow, an extra: pip install "vlm-gym[train]"'


def test_the_documents_command_makes_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(RECIPE)
    (block,) = re.findall(r"```console\n(.*?)```", DOCUMENT, re.S)
    for line in block.splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[2:], catch_exceptions=False)
        assert done.exit_code == 0
    told = {line.removeprefix("wrote ") for line in done.output.splitlines() if line.startswith("wrote ")}
    assert told == {"data/rows.parquet", "data/preview.html", "data/llamafactory", "data/easyr1"}
    assert all(Path(name).exists() for name in told)
    assert len(parquet.open_rows(Path("data/rows.parquet"))) == 8


def test_the_documents_teacher_is_one(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.S)
    (tmp_path / "mine.toml").write_text(text + '[[task]]\ngame = "2048"\n[cold_start]\n')
    asked = load_recipe(tmp_path / "mine.toml").data
    assert teachers.make_teacher(asked, tmp_path).name == asked.teacher


def test_the_document_names_every_column_and_every_format():
    told = set(re.findall(r"`(?:--format )?(\w+)`", DOCUMENT))
    assert {*parquet.FEATURES, *exports.FORMATS} <= told
