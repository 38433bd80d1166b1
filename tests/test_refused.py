"""Positions that an endpoint refuses, and replies that it cuts: recorded, counted and reported."""

import io
import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from endpoints import said
from hostile import completion
from rich.console import Console

from vlm_gym.episode import Episode
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.leaderboard import check_leaderboard, submit
from vlm_gym.evaluation.metrics import NUMBERS
from vlm_gym.evaluation.scoreboard import score_tables
from vlm_gym.evaluation.suite import Part, Suite
from vlm_gym.recordings.record import from_line, read, to_line
from vlm_gym.replays.replay import verify
from vlm_gym.report.build import report
from vlm_gym.rollouts.collect import collect
from vlm_gym.rollouts.journal import Journal
from vlm_gym.rollouts.policy import RawReply, Refusal
from vlm_gym.rollouts.remote import OpenAI
from vlm_gym.rollouts.rollout import rollout

COMMAND = Path(sys.executable).with_name("vlm-gym")
SUITE = Suite(
    part=(Part(games=("2048",), perception=("size=64",), reasoning=("level=0,turns=4",), episodes=6),)
)
FILTER = 400, {"error": {"message": "content management policy", "code": "content_filter"}}
MOVES = ("left", "up", "right", "down")


def asked(url, **options):
    options = {"base_url": url, "retries": 0, **options}
    return Evaluation(suite=SUITE, policies=["openai:m"], options=options, baselines=False, quiet=True)


def turns(out):
    return list(read(out / "openai-m/turns.jsonl"))


class Filter:
    """An endpoint's answers: it refuses pictures by their places in the order of first showing."""

    def __init__(self, *places, answer=FILTER):
        self.places, self.answer, self.shown = places, answer, {}

    def __call__(self, body):
        picture = json.dumps(body["messages"])
        place = self.shown.setdefault(picture, len(self.shown))
        return self.answer if place in self.places else said(f"<answer>{MOVES[place % 4]}</answer>")


@pytest.mark.parametrize(
    "answer",
    [
        FILTER,
        (422, {"detail": "cannot be processed"}),
        (413, "too large"),
        (200, completion("", "content_filter")),
        (200, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
    ],
    ids=["filter", "unprocessable", "large", "inside", "length"],
)
def test_a_refused_position_ends_its_episode_and_no_other_and_is_not_asked_again(endpoint, tmp_path, answer):
    server = endpoint(Filter(3, 8, answer=answer))
    results = evaluate(asked(server.url, concurrency=1), tmp_path)
    assert results["complete"]
    found = results["missing"]["openai:m"]
    assert (found["episodes"], found["refused"]) == (0, 2)
    played = {}
    for turn in turns(tmp_path):
        played.setdefault(turn.episode, []).append(turn)
    assert list(played) == SUITE.episodes()
    refused = [episode for episode in played.values() if episode[-1].refused]
    assert sorted(map(len, refused)) == [1, 2]
    for episode in played.values():
        assert all(not turn.refused and turn.reply for turn in episode[:-1])
        assert episode[-1].truncated or episode[-1].terminated
    for *_, last in refused:
        assert (last.reply, last.action, last.truncated) == ("", None, True)
        assert last.error.startswith("the endpoint refused to reply: ")
        assert last.rewards["game"] < 0
    before = len(server.asked)
    assert evaluate(asked(server.url), tmp_path) == results
    assert len(server.asked) == before


def test_a_refusal_is_kept_when_the_run_is_stopped_behind_it(endpoint, tmp_path):
    """The endpoint is lost after the refusal; the same command goes on, and does not ask for it again."""
    forbidden = Filter(2)

    def lost(body):
        return forbidden(body) if len(server.asked) <= 9 else (404, {"detail": "gone"})

    server = endpoint(lost)
    results = evaluate(asked(server.url, concurrency=1), tmp_path)
    assert not results["complete"]
    assert results["missing"]["openai:m"]["refused"] == 1
    again = endpoint(forbidden)
    assert evaluate(asked(again.url, concurrency=1), tmp_path)["complete"]
    refused = {picture for picture, place in forbidden.shown.items() if place == 2}
    assert refused.isdisjoint(json.dumps(body["messages"]) for body in again.asked)
    assert sum(bool(turn.refused) for turn in turns(tmp_path)) == 1


@pytest.mark.parametrize("first", [0, 5], ids=["never", "no-longer"])
def test_an_endpoint_that_refuses_whatever_it_is_asked_ends_the_run_and_no_episode(endpoint, tmp_path, first):
    """As without credit, which some providers report as HTTP 400: nothing is held against a position."""
    poor = 400, {"error": {"message": "Your credit balance is too low"}}
    server = endpoint(lambda body: said("<answer>up</answer>") if len(server.asked) <= first else poor)
    results = evaluate(asked(server.url, concurrency=1), tmp_path)
    assert not results["complete"]
    found = results["missing"]["openai:m"]
    assert "credit balance" in found["why"]
    assert found["refused"] == 0
    assert evaluate(asked(endpoint(lambda body: said("<answer>up</answer>")).url), tmp_path)["complete"]
    assert not any(turn.refused for turn in turns(tmp_path))


def test_a_refused_episode_counts_with_what_it_reached(endpoint, tmp_path):
    server = endpoint(Filter(0, 1, 2))
    results = evaluate(asked(server.url, concurrency=1), tmp_path)
    (row,) = results["policies"]
    numbers = row["overall"]["numbers"]
    every = turns(tmp_path)
    assert row["overall"]["episodes"] == 6
    assert numbers["refused"][0] == 0.5
    assert numbers["turns"][0] == pytest.approx(len(every) / 6, rel=1e-5)
    assert numbers["legal"][0] == pytest.approx(
        sum(t.action is not None for t in every) / len(every), rel=1e-5
    )
    assert any("refused a position in 3 of 6 episodes" in note for note in results["notes"])
    console = Console(width=200, record=True, file=io.StringIO())
    for part in score_tables(results):
        console.print(part)
    shown = console.export_text()
    assert "episodes refused, %" in shown
    assert "lacks" not in shown


def test_a_refused_turn_is_proved_and_one_that_goes_on_behind_it_is_not(endpoint, tmp_path):
    evaluate(asked(endpoint(Filter(3)).url, concurrency=1), tmp_path / "run")
    path = tmp_path / "run/openai-m/turns.jsonl"
    assert verify(path).problems == []
    submit(tmp_path / "run", tmp_path / "board.json")
    assert check_leaderboard(tmp_path / "board.json", [tmp_path / "run"]).problems == []
    (at,) = [at for at, turn in enumerate(turns(tmp_path / "run")) if turn.refused]
    lines = path.read_text().splitlines(keepends=True)
    forged = json.loads(lines[at])
    forged["reply"] = "<answer>left</answer>"
    path.write_text("".join([*lines[:at], json.dumps(forged) + "\n", *lines[at + 1 :]]))
    assert any("not both" in str(problem) for problem in verify(path).problems)
    more = json.loads(lines[at]) | {"number": json.loads(lines[at])["number"] + 1}
    path.write_text("".join([*lines[: at + 1], json.dumps(more) + "\n", *lines[at + 1 :]]))
    assert any("can follow" in str(problem) for problem in verify(path).problems)
    path.write_text("".join(lines))
    assert "episodes refused by the endpoint" in report([tmp_path / "run"])


def test_rollouts_go_on_past_a_refused_position_and_do_not_ask_for_it_again(endpoint, tmp_path, capsys):
    episodes = [Episode("2048", "size=64", "level=0,turns=4", "train", index) for index in range(5)]
    server = endpoint(Filter(1))
    policy = OpenAI("m", base_url=server.url, concurrency=1)
    collect(tmp_path / "turns.jsonl", episodes, policy)
    every = list(read(tmp_path / "turns.jsonl"))
    assert list(dict.fromkeys(turn.episode for turn in every)) == episodes
    assert [turn.number for turn in every if turn.refused] == [0]
    assert "1 episodes end early: the endpoint refused a position" in capsys.readouterr().err
    before, asked_before = (tmp_path / "turns.jsonl").read_bytes(), len(server.asked)
    collect(tmp_path / "turns.jsonl", episodes, policy)
    assert (tmp_path / "turns.jsonl").read_bytes() == before
    assert len(server.asked) == asked_before


class Shy:
    """A policy in this process that refuses odd deals."""

    name = "shy"
    sees = True
    portable = False

    def act(self, requests):
        return [
            Refusal("odd") if request.state.seed % 2 else RawReply("<answer>left</answer>", {})
            for request in requests
        ]


def test_processes_and_lanes_change_nothing_about_refusals():
    episodes = [Episode("2048", "size=64", "level=0,turns=3", "free", index) for index in range(6)]
    here = list(rollout(episodes, Shy()))
    assert [turn.refused for turn in here if turn.refused] == ["odd"] * 3
    assert list(rollout(episodes, Shy(), parallel_episodes=2)) == here
    assert list(rollout(episodes, Shy(), workers=2, parallel_episodes=4)) == here


def test_a_journal_keeps_a_refusal_for_a_command_that_was_killed(tmp_path):
    episodes = [Episode("2048", "size=64", "level=0,turns=3", "free", index) for index in range(4)]
    path = tmp_path / "replies.jsonl"
    with closing(Journal(Shy(), path, episodes)) as journal:
        first = list(rollout(episodes, journal))
    with closing(Journal(Shy(), path, episodes)) as journal:
        journal.mute = True  # nobody is asked again
        assert list(rollout(episodes, journal)) == first
    assert [turn.refused for turn in first if turn.refused] == ["odd"] * 2


def test_lines_without_a_refusal_are_as_they_were_and_old_ones_are_read():
    (turn, *_) = rollout([Episode("2048", "size=64", "level=0,turns=1", "free", 0)], Shy())
    line = to_line(turn)
    assert "refused" not in json.loads(line)
    assert from_line(line) == turn
    assert from_line(to_line(replace(turn, reply="", refused="why"))).refused == "why"
    old = json.loads(line) | {"usage": {"tokens": None, "seconds": 3.5}}
    assert from_line(json.dumps(old)).usage == {"seconds": 3.5}


# --- cut replies


def test_replies_that_are_cut_are_counted_and_reported(endpoint, tmp_path):
    def answer(body):
        first = len(server.asked) <= 6
        return 200, completion(
            "<think> if I" if first else "<answer>left</answer>", "length" if first else "stop"
        )

    server = endpoint(answer)
    results = evaluate(asked(server.url), tmp_path)
    every = turns(tmp_path)
    assert sum("cut" in turn.usage for turn in every) == 6
    assert all(turn.error for turn in every if "cut" in turn.usage)
    (row,) = results["policies"]
    assert row["overall"]["numbers"]["cut"][0] == pytest.approx(6 / len(every), rel=1e-5)
    (note,) = results["notes"]
    assert note.startswith(f"openai:m: 6 of {len(every)} replies were cut at the limit of 1024 tokens")
    assert {"cut", "refused"} <= NUMBERS.keys()
    page = report([tmp_path])
    assert "replies cut at the token limit" in page


def test_a_rollout_reports_replies_that_are_cut_and_takes_the_options_of_an_endpoint(endpoint, tmp_path):
    server = endpoint(lambda body: (200, completion("<think>", "length")))
    words = ["rollout", "--policy", "openai:m", "--games", "2048", "--episodes", "1", "-r", "level=0,turns=2"]
    done = subprocess.run(
        [COMMAND, *words, "--base-url", server.url, "--option", "max_tokens=7", "-o", tmp_path / "t.jsonl"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "2 replies were cut at the token limit" in done.stderr
    assert {body["max_tokens"] for body in server.asked} == {7}
    words[2] = "legal"
    done = subprocess.run(
        [COMMAND, *words, "--base-url", server.url, "-o", tmp_path / "u.jsonl"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "vlm-gym: base_url is no option of the policies legal; they take none\n",
    )


def test_usage_that_is_no_number_is_left_out_of_files_and_of_what_is_computed(endpoint, tmp_path):
    usage = {"prompt_tokens": None, "completion_tokens": float("nan")}
    server = endpoint(lambda body: (200, completion("<answer>left</answer>", usage=usage)))
    results = evaluate(asked(server.url, dollars_in=1.0), tmp_path)
    assert not {"tokens", "tokens_in", "dollars"} & results["policies"][0]["overall"]["numbers"].keys()
    assert all(turn.usage.keys() == {"seconds"} for turn in turns(tmp_path))


def test_recordings_of_a_server_that_reported_nulls_can_still_be_counted(endpoint, tmp_path):
    evaluate(asked(endpoint(lambda body: said("<answer>left</answer>")).url), tmp_path)
    path = tmp_path / "openai-m/turns.jsonl"
    lines = [
        json.loads(line) | {"usage": {"tokens": None, "seconds": None}}
        for line in path.read_text().splitlines()
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert evaluate(asked("http://127.0.0.1:9/v1"), tmp_path)["complete"]
