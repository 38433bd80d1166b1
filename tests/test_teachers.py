"""Teachers of a cold start: models behind a real endpoint on this machine, with good days and bad ones."""

import json
import re
import time
from collections import Counter
from dataclasses import fields
from inspect import signature

import pytest

pytest.importorskip("datasets")

from endpoints import said
from vlm_gym.trainers.data import cold_start_rows, parquet, teachers
from vlm_gym.trainers.recipe import ColdStart, Data, Endpoint, Recipe, Task

from vlm_gym.actions import parse, parse_for
from vlm_gym.game import TOLERANCE
from vlm_gym.prompt import solution
from vlm_gym.recordings.record import to_state
from vlm_gym.registry import find
from vlm_gym.rollouts.remote import OpenAI

TASK = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=6)


def recipe(server, rows=20, teacher="openai:m", good=True, seed=0, **options):
    options = {"base_url": server.url, "concurrency": 2, **options}
    made = Data(rows=rows, teacher=teacher, good=good, options=options)
    return Recipe(task=(TASK,), seed=seed, data=made, cold_start=ColdStart())


def words(body):
    """What a model was told, all of it."""
    (message,) = body["messages"]
    assert message["role"] == "user"
    assert [block["type"] for block in message["content"]] == ["text"]
    return message["content"][0]["text"]


def board(body):
    (found,) = re.findall(r"for an empty cell:\n(.*)\nThink between", words(body), re.S)
    return found


def values(body):
    """What the solver thinks of the actions on a board as a model was told it."""
    game = find("2048")
    cells = [cell.strip() for line in board(body).split("\n") for cell in line.split("|")]
    state = game.start(0, game.levels[0])
    tiles = bytes(0 if cell == "-" else int(cell).bit_length() - 1 for cell in cells)
    return game.values(to_state(game, {**as_json(state), "cells": {"hex": tiles.hex()}}))


def as_json(state):
    return json.loads(cold_start_rows.dumps(state))


def best(body):
    found = values(body)
    return max(found, key=found.__getitem__)


def worst(body):
    found = values(body)
    return min(found, key=found.__getitem__)


def wise(body):
    return said(f"<think> {best(body)} it is </think>\n<answer>{best(body).upper()}</answer>")


def replies(path):
    return [row["completion"][0]["content"][0]["text"] for row in parquet.open_rows(path)]


def told(path):
    return json.loads((path.parent / "data.json").read_text())


def test_a_model_is_told_the_truth_and_its_thought_and_answer_follow_it(endpoint, tmp_path):
    server = endpoint(wise)
    made = parquet.make_rows(recipe(server), tmp_path)
    game, boards = find("2048"), {board(body) for body in server.asked}
    for row, reply in zip(parquet.open_rows(made), replies(made), strict=True):
        state = to_state(game, json.loads(row["state"]))
        read = parse_for(game, state, reply)
        assert read.well_formed
        assert read.perception == game.scene(state).describe()
        assert read.perception in boards
        assert read.thought == f"{read.action} it is"
        assert row["value"] == max(game.values(state).values())
        assert row["prompt"] == TASK.request(state).messages()
    assert game.rules(game.levels[0]) in words(server.asked[0])
    assert len(server.asked) == 20
    assert told(made)["replies"] == [{"fine": 20}]
    assert told(made)["usage"]["tokens"] == 20 * 50


BAD = {
    "misplanned": lambda body: f"<think>so</think><answer>{worst(body)}</answer>",
    "illegal": lambda body: "<think>so</think><answer>sideways</answer>",
    "misformatted": lambda body: "I would go left.",
    "thoughtless": lambda body: f"<answer>{best(body)}</answer>",
    "silent": lambda body: f"<think> </think><answer>{best(body)}</answer>",
    "boxed": lambda body: f"<think>so <answer>{best(body)}</answer></think>",
}


@pytest.mark.parametrize("kind", BAD)
def test_replies_to_learn_nothing_from_are_dropped_counted_and_replaced(endpoint, tmp_path, kind):
    def every_third(body):
        foolish = len(server.asked) % 3 == 0
        return said(BAD[kind](body)) if foolish else wise(body)

    server = endpoint(every_third)
    made = parquet.make_rows(recipe(server), tmp_path)
    (counts,) = told(made)["replies"]
    name = kind if kind in ("misplanned", "illegal") else "misformatted"
    assert counts == {"fine": 20, name: len(server.asked) - 20}
    assert counts[name] >= 6
    assert len(set(replies(made))) == 20
    assert all(parse(reply, ("up", "right", "down", "left")).action for reply in replies(made))
    assert f"{counts[name]} {name}" in (tmp_path / "preview.html").read_text()


def test_any_legal_answer_will_do_where_good_ones_are_not_asked_for(endpoint, tmp_path):
    server = endpoint(lambda body: said(BAD["misplanned"](body)))
    made = parquet.make_rows(recipe(server, good=False), tmp_path)
    (counts,) = told(made)["replies"]
    assert counts.keys() <= {"fine", "misplanned"}
    assert counts["misplanned"] > 5
    assert "<td>none</td>" in (tmp_path / "preview.html").read_text()
    assert sum(counts.values()) == len(server.asked) == 20
    lost = [
        max(found.values()) - row["value"]
        for row in parquet.open_rows(made)
        for found in [find("2048").values(to_state(find("2048"), json.loads(row["state"])))]
    ]
    assert sum(each > TOLERANCE for each in lost) == counts["misplanned"]


def test_a_model_that_never_helps_is_an_error_before_it_costs_much(endpoint, tmp_path):
    server = endpoint(lambda body: said("I cannot play."))
    with pytest.raises(RuntimeError, match=r"hardly a reply .* 2048 0: 50 misformatted; .*'I cannot play.'"):
        parquet.make_rows(recipe(server, rows=1000), tmp_path)
    assert len(server.asked) <= 64
    assert not (tmp_path / "rows.parquet").exists()


def test_an_endpoint_that_stumbles_is_asked_again(endpoint, tmp_path):
    def stumbling(body):
        tries[board(body)] += 1
        return wise(body) if tries[board(body)] > 1 else (500, {"error": {"message": "down"}})

    tries, server = Counter(), endpoint(stumbling)
    made = parquet.make_rows(recipe(server, rows=3), tmp_path)
    assert len(replies(made)) == 3
    assert set(tries.values()) == {2}


def test_what_was_paid_for_is_never_asked_for_again(endpoint, tmp_path):
    def odd(body):
        """Reply correctly, with a character at which `str.splitlines` ends a line."""
        return said(f"<think> {best(body)}\u2028it is </think>\n<answer>{best(body)}</answer>")

    def mortal(body):
        return odd(body) if len(server.asked) <= 12 else (404, {"error": {"message": "no more money"}})

    server = endpoint(mortal)
    with pytest.raises(ConnectionError, match="no more money"):
        parquet.make_rows(recipe(server), tmp_path)
    paid = {board(body) for body in server.asked[:12]}
    with (tmp_path / teachers.REPLIES).open("ab") as file:
        file.write(b'{"asked": "half a li')  # as a kill may leave it
    rich = endpoint(odd)
    made = parquet.make_rows(recipe(rich), tmp_path)
    assert len(rich.asked) == 8
    assert not paid & {board(body) for body in rich.asked}
    apart = endpoint(odd)
    assert replies(made) == replies(parquet.make_rows(recipe(apart), tmp_path / "at-once"))


def test_positions_that_are_refused_for_good_are_dropped_counted_and_never_asked_for_again(
    endpoint, tmp_path
):
    def filtering(body):
        if len(server.asked) == 2:
            refused.add(board(body))
        filtered = 400, {"error": {"message": "content filter"}}
        return filtered if board(body) in refused else wise(body)

    refused, server = set(), endpoint(filtering)
    made = parquet.make_rows(recipe(server, rows=10), tmp_path)
    assert told(made)["replies"] == [{"fine": 10, "refused": 1}]
    assert len(replies(made)) == 10
    assert "1 refused" in (tmp_path / "preview.html").read_text()
    asked = len(server.asked)
    assert asked == 11 + 1  # a reply to another position shows that the endpoint still replies
    made.unlink()  # as if the command had been stopped before its end
    parquet.make_rows(recipe(server, rows=10), tmp_path)
    assert told(made)["replies"] == [{"fine": 10, "refused": 1}]
    assert len(server.asked) == asked


def test_an_endpoint_that_has_only_refused_is_an_error_and_asked_again(endpoint, tmp_path):
    strict = endpoint(lambda body: (400, {"error": {"message": "no such field"}}))
    with pytest.raises(ConnectionError, match="no such field"):
        parquet.make_rows(recipe(strict, rows=3), tmp_path)
    made = parquet.make_rows(recipe(endpoint(wise), rows=3), tmp_path)
    assert told(made)["replies"] == [{"fine": 3}]


def test_how_a_model_is_reached_may_change_but_not_how_it_replies(endpoint, tmp_path):
    server = endpoint(wise)
    made = parquet.make_rows(recipe(server, rows=2), tmp_path)
    assert parquet.make_rows(recipe(endpoint(wise), rows=2, retries=1), tmp_path) == made
    assert len(server.asked) == 2
    with pytest.raises(ValueError, match=r"recipe\.data\.options\.temperature"):
        parquet.make_rows(recipe(server, rows=2, temperature=0.5), tmp_path)


def test_a_rate_limit_is_kept(endpoint, tmp_path):
    start = time.monotonic()
    parquet.make_rows(recipe(endpoint(wise), rows=6, per_minute=600), tmp_path)
    assert time.monotonic() - start >= 0.5  # six requests, a tenth of a second apart


def test_a_file_of_something_else_is_not_taken_for_replies(endpoint, tmp_path):
    (tmp_path / teachers.REPLIES).write_text('{"hello": 1}\n')
    with pytest.raises(ValueError, match="holds something else than replies"):
        parquet.make_rows(recipe(endpoint(wise)), tmp_path)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"teacher": "solvr"}, "unknown data.teacher 'solvr'.*did you mean 'solver'.*openai:MODEL"),
        ({"teacher": "openai:"}, "unknown data.teacher 'openai:'"),
        ({"teacher": "hf:x"}, "unknown data.teacher 'hf:x'"),
        ({"options": {"base_url": "x"}}, r"the teacher solver takes none of \['base_url'\]"),
        (
            {"teacher": "openai:m", "options": {"per_minut": 3}},
            "unknown key 'data.options.per_minut'.*did you mean 'per_minute'",
        ),
    ],
)
def test_unknown_teachers_and_options_are_refused_with_the_nearest(given, error):
    with pytest.raises(ValueError, match=error):
        Data(**given)


@pytest.mark.parametrize(
    ("option", "value", "takes"),
    [
        ("concurrency", 0, "a whole number of 1 or more"),
        ("concurrency", "many", "a whole number of 1 or more"),
        ("per_minute", -5, "a number of 0 or more"),
        ("per_minute", float("nan"), "a number of 0 or more"),
        ("temperature", -1, "a number of 0 or more"),
        ("max_tokens", 0, "a whole number of 1 or more"),
        ("time_limit", 0, "a number above 0"),
        ("retries", 1.5, "a whole number of 0 or more"),
        ("base_url", 8000, "text"),
    ],
)
def test_options_out_of_their_range_are_refused_before_anybody_is_asked(option, value, takes):
    with pytest.raises(ValueError, match=rf"data\.options\.{option}=.* is not possible; .* takes {takes}"):
        Data(teacher="openai:m", options={option: value})


def test_options_of_a_teacher_are_those_of_the_client_with_its_defaults():
    taken = {name: entry.default for name, entry in signature(OpenAI).parameters.items() if name != "model"}
    assert {entry.name: entry.default for entry in fields(Endpoint)} == taken


def test_a_game_without_thoughts_teaches_nothing(monkeypatch):
    game = find("2048")
    request = TASK.request(game.start(1, TASK.knobs))
    (taught,) = teachers.SolverTeacher().teach([request])
    assert taught.reply == solution(game, request.state)
    assert taught.value == game.think(request.state).value
    monkeypatch.setattr(type(game), "think", lambda self, state: None)
    with pytest.raises(ValueError, match=r"2048 has no thoughts to learn from; choose another data\.teacher"):
        teachers.SolverTeacher().teach([request])
