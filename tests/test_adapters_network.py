"""What a peer sends to a server of games: rows, positions, and what they may name."""

import ast
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from vlm_gym.adapters.libraries import check_library
from vlm_gym.adapters.network import Refused, begin_from_network, position_of, restore
from vlm_gym.adapters.play import begin
from vlm_gym.strict import parse

ROW = {"game": "2048", "perception": 1, "reasoning": 1, "split": "train", "index": 3}
ROOT = Path(__file__).parents[1]
RUNS_CODE = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "eval",
    "exec",
    "compile",
    "__import__",
}
PHOTOS = {"game": "shisen_sho_photos", "reasoning": 1}


@pytest.fixture
def folder(tmp_path):
    """A folder of pictures that is nobody's business."""
    for kind in range(16):
        (tmp_path / f"kind{kind}").mkdir()
        for number in range(3):
            Image.new("RGB", (32, 32), (16 * kind, 80 * number, 0)).save(
                tmp_path / f"kind{kind}" / f"{number}.png"
            )
    return str(tmp_path)


def test_a_row_from_a_network_begins_the_episode_of_the_row_over_the_defaults():
    session = begin_from_network({"index": 3, "split": None}, {**ROW, "index": 0})
    assert session.row == begin(ROW).row
    assert session.url() == begin(ROW).url()


@pytest.mark.parametrize("spelling", ["dict", "text", "level"])
def test_a_row_from_a_network_cannot_name_a_folder_of_the_server(folder, spelling):
    reasoning = {
        "dict": {"level": 1, "pictures": folder},
        "text": f'level=1,pictures="{folder}"',
        "level": f"pictures={folder}",
    }[spelling]
    begin({**PHOTOS, "reasoning": reasoning})  # at home, it can
    with pytest.raises(Refused, match="pictures can name a folder of the server") as caught:
        begin_from_network({**PHOTOS, "reasoning": reasoning}, {})
    assert folder not in str(caught.value)


@pytest.mark.parametrize("folder_of_a_peer", ["/", "/nonexistent"])
def test_a_refusal_does_not_reveal_whether_a_folder_is_there(folder_of_a_peer):
    with pytest.raises(Refused, match="cannot be set over a network"):
        begin_from_network({**PHOTOS, "reasoning": {"pictures": folder_of_a_peer}}, {})


def test_the_server_itself_may_name_a_folder(folder):
    defaults = {**PHOTOS, "reasoning": {"level": 1, "pictures": folder}}
    session = begin_from_network({"index": 1}, defaults)
    assert session.url() == begin({**defaults, "index": 1}).url()


@pytest.mark.parametrize("place", ["vlm_gym/adapters", "integrations", "vlm_gym/play", "vlm_gym/recordings"])
def test_nothing_that_is_sent_is_unpickled_or_run(place):
    files = sorted((ROOT / place).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            named = set()
            if isinstance(node, ast.Import):
                named = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                named = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                named = {node.func.id}
            assert not named & RUNS_CODE, f"{file}, line {node.lineno}"


@pytest.mark.parametrize(
    "key", ["game", "perception", "reasoning", "split", "index", "turns", "history", "weights"]
)
def test_code_in_a_row_is_text_of_no_game_or_level(key, tmp_path):
    mark = tmp_path / "run"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    with pytest.raises(Refused) as caught:
        begin_from_network({**ROW, key: code}, {})
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_a_position_cannot_name_a_folder_of_the_server(folder):
    position = position_of(begin({**PHOTOS, "reasoning": {"level": 1, "pictures": folder}}))
    with pytest.raises(Refused, match="of another level than the row"):
        restore(begin_from_network(PHOTOS, {}), position)


@pytest.mark.parametrize("game", ["2048", "sokoban", "minesweeper", "shisen_sho_photos", "tetris", "memory"])
def test_an_episode_goes_on_from_a_position_as_it_would_have(game):
    row = {**ROW, "game": game}
    played = begin(row)
    played.answer("no action")
    played.answer(f"<answer>{played.run.legal[0]}</answer>")
    position = parse(json.dumps(position_of(played)))
    restored = begin_from_network(row, {})
    restore(restored, position)
    assert restored.url() == played.url()
    assert restored.run.turns == played.run.turns == 2
    for _ in range(5):
        if played.ended:
            break
        reply = f"<answer>{played.run.legal[-1]}</answer>"
        assert restored.answer(reply) == played.answer(reply)
        assert restored.url() == played.url()
    assert restored.ended == played.ended


def test_a_restored_episode_has_the_turns_left_that_the_position_had():
    row = {**ROW, "turns": 4}
    session = begin(row)
    restore(session, {"state": position_of(session)["state"], "turns": 3})
    assert session.answer("no action").truncated


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda position: None, "not an object"),
        (lambda position: {}, "has no 'state'"),
        (lambda position: {**position, "code": "print()"}, "unknown key 'code'"),
        (lambda position: {**position, "state": 5}, "of another level"),
        (lambda position: {**position, "turns": 10**6}, "not a whole number"),
        (lambda position: {**position, "turns": -1}, "not a whole number"),
        (
            lambda position: {**position, "state": {**position["state"], "cells": {"hex": "00"}}},
            "2048 cannot",
        ),
        (lambda position: {**position, "state": {**position["state"], "seed": -1}}, "not a whole number"),
        (lambda position: {**position, "state": {**position["state"], "over": 1}}, "not true or false"),
        (lambda position: {"state": {**position["state"], "knobs": {}}}, "of another level"),
    ],
)
def test_a_position_that_is_none_is_one_line(change, words):
    session = begin(ROW)
    with pytest.raises(Refused, match=words) as caught:
        restore(session, change(position_of(session)))
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_one_line_with_the_command():
    with pytest.raises(ModuleNotFoundError, match=r'pip install "vlm-gym\[openenv\]"') as caught:
        check_library("no-such-library-of-others", "1.0", "openenv")
    assert "\n" not in str(caught.value)


def test_another_version_is_a_warning_with_both():
    from importlib.metadata import version

    found = version("numpy")
    with pytest.warns(UserWarning, match=rf"numpy {found} is installed.*numpy 0\.0"):
        check_library("numpy", "0.0", "none")
    check_library("numpy", found, "none")


@pytest.mark.parametrize("library", ["openenv", "verifiers"])
def test_an_adapter_without_its_library_names_the_command(library):
    if find_spec(library) is not None:
        pytest.skip(f"{library} is installed")
    with pytest.raises(ModuleNotFoundError, match=rf'pip install "vlm-gym\[{library}\]"'):
        import_module(f"vlm_gym.adapters.{library}")
