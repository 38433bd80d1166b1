"""Settings from files: what no setting can be is an error of one line that names the file."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vlm_gym.trainers import recipe

from vlm_gym.evaluation.suite import suite

HUGE = "1" + "0" * 400
SUITE = "[[part]]\nepisodes = 2\n"
Load = Callable[[Path], Any]


def load_suite(path: Path) -> Any:
    return suite(str(path))


READERS = [
    pytest.param(load_suite, SUITE, id="suite"),
    pytest.param(recipe.load_recipe, recipe.shipped_recipes()["quickstart"].read_text(), id="recipe"),
]


@pytest.mark.parametrize(("load", "text"), READERS)
def test_a_byte_order_mark_is_read(tmp_path, load: Load, text: str):
    plain = tmp_path / "plain.toml"
    plain.write_text(text, encoding="utf-8")
    marked = tmp_path / "marked.toml"
    marked.write_text(text, encoding="utf-8-sig")
    assert load(marked) == load(plain)


@pytest.mark.parametrize(("load", "text"), READERS)
@pytest.mark.parametrize("spoilt", ["about = " + "[" * 100_000, "about = \x00", "about", f"about = {HUGE}"])
def test_what_is_no_toml_or_of_another_type_is_named(tmp_path, load: Load, text: str, spoilt: str):
    path = tmp_path / "mine.toml"
    path.write_text(f"{spoilt}\n")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: [^\n]*$"):
        load(path)


@pytest.mark.parametrize("value", [HUGE, f"-{HUGE}", str(1 << 63)])
@pytest.mark.parametrize(
    "place", ["decoding.temperature", "decoding.seed", "decoding.max_tokens", "part.turns", "history"]
)
def test_a_number_that_no_float_can_hold_is_refused_in_a_suite(tmp_path, place: str, value: str):
    table, _, name = place.rpartition(".")
    texts = {"part": f"{SUITE}{name} = {value}", "decoding": f"{SUITE}[decoding]\n{name} = {value}"}
    path = tmp_path / "mine.toml"
    path.write_text(texts.get(table, f"{name} = {value}\n{SUITE}"))
    with pytest.raises(ValueError, match=rf"mine\.toml: [^\n]*{name}=.{{1,90}} is not possible"):
        suite(str(path))


@pytest.mark.parametrize("value", [HUGE, f"-{HUGE}"])
@pytest.mark.parametrize(
    "place",
    ["seed", "threads", "task.0.weight", "task.0.moves", "data.rows", "data.shares.walk", "grpo.steps"],
)
def test_a_number_that_no_float_can_hold_is_refused_in_a_recipe(place: str, value: str):
    name = place.rpartition(".")[2]
    with pytest.raises(ValueError, match=rf"quickstart[^\n]*{name}=.{{1,90}} is not possible"):
        recipe.load_recipe(Path("quickstart"), [f"{place}={value}"])


def test_a_change_that_is_nested_without_end_is_refused():
    with pytest.raises(ValueError, match=r"quickstart[^\n]*nested too deeply"):
        recipe.load_recipe(Path("quickstart"), ["grpo=" + "[" * 100_000])
