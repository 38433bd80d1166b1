"""Keys of recipes that have another name now: one line names it, and earlier runs go on."""

import json

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from vlm_gym.trainers.recipe import Recipe, load_recipe
from vlm_gym.trainers.recipe.renamed import RENAMED, renew

from vlm_gym.config import build

VALUES = {"states": "16", "credit": '"section"', "redraw": "2", "own": "0.5"}
RECIPE = '[[task]]\ngame = "2048"\n'


@pytest.mark.parametrize("path", RENAMED, ids=".".join)
def test_an_earlier_key_in_a_file_ends_in_one_line_with_the_new_one(tmp_path, path):
    *tables, old = path
    config = tmp_path / "old.toml"
    config.write_text(f"{RECIPE}[{'.'.join(tables)}]\n{old} = {VALUES[old]}\n")
    place = ".".join(tables)
    with pytest.raises(ValueError, match=rf"{place}\.{old} is now {place}\.{RENAMED[path]}$"):
        load_recipe(config)


@pytest.mark.parametrize("path", RENAMED, ids=".".join)
def test_an_earlier_key_in_a_change_ends_in_one_line_with_the_new_one(path):
    with pytest.raises(ValueError, match=rf"{path[-1]} is now .*\.{RENAMED[path]}$"):
        load_recipe(_shipped(), [f"{'.'.join(path)}={VALUES[path[-1]]}"])


def test_the_recipe_of_an_earlier_run_is_read_with_the_names_of_now():
    now = load_recipe(_shipped()).resolved()
    earlier = json.loads(json.dumps(now))
    for *tables, old in RENAMED:
        table = earlier
        for word in tables:
            table = table[word]
        table[old] = table.pop(RENAMED[*tables, old])
    copy = json.loads(json.dumps(earlier))
    assert build(Recipe, renew(earlier)).resolved() == now
    assert earlier == copy
    assert renew(now) == now


def test_every_new_name_is_a_key_of_a_recipe():
    now = load_recipe(_shipped()).resolved()
    for (*tables, old), name in RENAMED.items():
        table = now
        for word in tables:
            table = table[word]
        assert name in table
        assert old not in table


def _shipped():
    from vlm_gym.trainers.recipe.reading import shipped_recipes

    return shipped_recipes()["quickstart"]
