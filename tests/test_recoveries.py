"""Rows of a cold start that go on after a wrong move: what they show is what the environment says."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datasets")

import pyarrow.parquet as pq
from vlm_gym.trainers.data import parquet
from vlm_gym.trainers.data.recoveries import mistake
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Shares, Task

from vlm_gym.actions import parse_for
from vlm_gym.config import build
from vlm_gym.dice import Dice
from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode, held_out
from vlm_gym.evaluation.judge import weigh
from vlm_gym.game import TEST
from vlm_gym.prompt import solution
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find, names
from vlm_gym.rollouts.rollout import play_reply

TASKS = (
    Task(game="2048", reasoning="0", perception="level=0,size=64", moves=6),
    Task(game="sokoban", reasoning="1", perception="level=0,size=96", moves=6),
    Task(game="shisen_sho", reasoning="0", perception="level=0,size=96", moves=3),
)
MOST = 3


def recipe(share: float = 0.5, rows: int = 90, seed: int = 0) -> Recipe:
    data = Data(rows=rows, recoveries=share, shares=Shares(walk=0.5, solver=0.5))
    return Recipe(task=TASKS, data=data, cold_start=ColdStart(), history=MOST, seed=seed)


def made(path: Path, asked: Recipe, workers: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(parquet.make_rows(asked, path, workers)).to_pylist()
    return rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return made(tmp_path_factory.mktemp("data"), recipe())


def wrong(row: dict[str, Any]) -> str:
    """Return what the last turn before a row's reply was: illegal, bad, or "" for neither."""
    game, past = find(row["game"]), json.loads(row["past"])
    if not past:
        return ""
    state, reply, _ = past[-1]
    verdict = weigh(game, to_state(game, state), parse_for(game, to_state(game, state), reply))
    return "illegal" if verdict.kind == "illegal" else "" if verdict.good else "bad"


def test_every_turn_before_is_what_the_environment_says(rows: list[dict[str, Any]]) -> None:
    tasks = {task.game: task for task in TASKS}
    for row in rows:
        game, task = find(row["game"]), tasks[row["game"]]
        state = to_state(game, json.loads(row["state"]))
        past = json.loads(row["past"])
        run = Run(game, task.knobs, task.look)
        at = None
        for before, reply, feedback in past:
            run.state = to_state(game, before)
            assert at is None or run.state == at
            turn = play_reply(run, Episode(task.game, task.perception, task.reasoning), "", reply, "")
            assert feedback == (turn.error or turn.event)
            at = run.state
        assert at is None or at == state
        said = [message["content"][-1]["text"] for message in row["prompt"]]
        assert said[1:] == [text for _, reply, feedback in past for text in (reply, feedback)]


def test_the_teacher_goes_on_from_there(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        game = find(row["game"])
        state = to_state(game, json.loads(row["state"]))
        assert row["completion"][0]["content"][0]["text"] == solution(game, state)


def test_the_share_of_wrong_moves_is_the_one_asked_for_and_of_both_kinds(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    kinds = [wrong(row) for row in rows if row["game"] == "2048"]
    assert {"illegal", "bad"} <= set(kinds)
    assert not any(wrong(row) == "illegal" for row in made(tmp_path, recipe(0.0, 30)))
    every = made(tmp_path / "every", recipe(1.0, 30))
    assert all(wrong(row) for row in every if row["game"] != "sokoban")
    illegal = [row for row in rows if wrong(row) == "illegal"]
    for row in illegal:
        _, reply, feedback = json.loads(row["past"])[-1]
        word = reply.partition("<answer>")[2].removesuffix("</answer>")
        assert feedback.startswith(f"{word!r} is not a legal action here; legal: ")
        assert json.loads(row["past"])[-1][0] == json.loads(row["state"])


def test_no_row_is_over_or_of_the_test_stream(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        game = find(row["game"])
        state = to_state(game, json.loads(row["state"]))
        assert not state.over
        assert state.seed < TEST
        assert not held_out(game, state)


def test_rows_depend_on_the_seed_alone(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert made(tmp_path / "again", recipe()) == rows
    assert made(tmp_path / "other", recipe(seed=1)) != rows


@pytest.mark.slow
def test_rows_do_not_depend_on_the_number_of_processes(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert made(tmp_path, recipe(), workers=2) == rows


def test_positions_without_recoveries_are_those_of_before(tmp_path: Path) -> None:
    """The share changes the rows that it is for, and no other."""
    plain, some = (made(tmp_path / str(share), recipe(share, 30)) for share in (0.0, 0.3))
    same = sum(one == other for one, other in zip(plain, some, strict=True))
    assert 12 <= same < 30


@pytest.mark.parametrize("name", names())
def test_a_mistake_is_no_good_move_in_any_game(name: str) -> None:
    game = find(name)
    state = game.start(5, game.levels[1])
    for seed in range(4):
        turn = mistake(game, state, Dice(seed))
        if turn is None:
            continue
        past, after = turn
        reply = parse_for(game, state, past.reply)
        assert not weigh(game, state, reply).good
        assert (after == state) == (reply.action is None)
        step = None if reply.action is None else game.step(state, reply.action)
        assert past.feedback == (reply.error if step is None else step.event)
        assert after == (state if step is None else step.state)


def test_recoveries_take_a_history() -> None:
    data = {"task": [{"game": "2048"}], "cold_start": {}, "data": {"recoveries": 0.2}}
    with pytest.raises(ValueError, match=r"data\.recoveries=0\.2 takes a history of 1 or more"):
        build(Recipe, data)
    with pytest.raises(ValueError, match=r"data\.recoveries=1\.5 is not possible"):
        build(Recipe, {**data, "data": {"recoveries": 1.5}, "history": 1})
    assert build(Recipe, {**data, "history": 1}).data.recoveries == 0.2
