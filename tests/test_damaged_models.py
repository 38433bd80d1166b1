"""Files of models and of rows that are truncated or hold something else are errors of one line."""

import re
import shutil

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import pyarrow as pa
import pyarrow.parquet as pq
from test_resuming import base
from vlm_gym.trainers.data import parquet
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Task

from vlm_gym.rollouts.policy import make

TASK = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=2)
RECIPE = Recipe(task=(TASK,), data=Data(rows=4), cold_start=ColdStart())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return base("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return parquet.make_rows(RECIPE, tmp_path_factory.mktemp("data"))


FILES = (
    *("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"),
    "model.safetensors",
)
REFUSED = r"^no vision-language model can be loaded from "


@pytest.mark.parametrize("text", ["half", "", "[1]", '"x"'])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_model_is_named_with_the_model(model, tmp_path, name, text):
    place = shutil.copytree(model, tmp_path / "m")
    whole = (place / name).read_bytes()
    (place / name).write_bytes(whole[: len(whole) // 2] if text == "half" else text.encode())
    with pytest.raises(ValueError, match=rf"{REFUSED}{re.escape(repr(str(place)))}: [^\n]*$"):
        make(f"hf:{place}")


def test_half_a_chat_template_is_refused(model, tmp_path):
    place = shutil.copytree(model, tmp_path / "m")
    template = place / "chat_template.jinja"
    template.write_text(template.read_text()[: template.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"{REFUSED}[^\n]*template[^\n]*$"):
        make(f"hf:{place}")


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeros(data: bytes) -> bytes:
    return data[:200] + b"\0" * 100 + data[300:]


@pytest.mark.parametrize("damage", [half, zeros, lambda _: b"", lambda _: b"hello"])
def test_damaged_rows_are_named(rows, tmp_path, damage):
    path = shutil.copytree(rows.parent, tmp_path / "data", ignore=shutil.ignore_patterns("cache")) / rows.name
    path.write_bytes(damage(path.read_bytes()))
    for read in (parquet.open_rows, lambda path: parquet.read_replies(RECIPE, path)):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is broken: [^\n]+$"):
            read(path)


def test_rows_of_other_columns_are_named(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    for read in (parquet.open_rows, lambda path: parquet.read_replies(RECIPE, path)):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is broken: [^\n]+$"):
            read(path)
