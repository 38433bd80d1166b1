"""Evaluations from end to end: killed and gone on with, endpoints that are lost, people as guests."""

import json
import re
import signal
import time
from dataclasses import asdict, replace

import pytest
from evaluations import SMALL, any_move, begin, model, turns, vlm_gym
from recordings import Pupil
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.episode import Episode
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.run_folder import folder
from vlm_gym.evaluation.suite import Part, Suite
from vlm_gym.recordings.record import Recorder, read
from vlm_gym.rollouts.baselines import PLAYERS
from vlm_gym.rollouts.journal import Journal, Silent
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import read_json


def test_the_baselines_play_and_everything_is_written_down(tmp_path):
    results = evaluate(Evaluation(suite=SMALL, name="small", command="as typed"), tmp_path)
    assert results == read_json(tmp_path / "results.json")
    assert results["complete"]
    assert [row["policy"] for row in results["policies"]] == ["random", "greedy", "solver"]
    for row in results["policies"]:
        played = list(read(tmp_path / row["policy"] / "turns.jsonl"))
        assert list(dict.fromkeys(turn.episode for turn in played)) == SMALL.episodes()
        assert row["overall"]["turns"] == len(played)
        assert (
            len((tmp_path / row["policy"] / "turns.verdicts.jsonl").read_text().splitlines())
            == len(played) + 1
        )
    run = read_json(tmp_path / "run.json")
    assert run["suite"] == json.loads(json.dumps(SMALL.resolved()))
    assert run["commands"] == ["as typed"]
    assert set(run["policies"]) == {"random", "greedy", "solver"}


def test_processes_change_nothing(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    evaluate(Evaluation(suite=SMALL, policies=["legal"], baselines=False), here)
    evaluate(
        Evaluation(suite=SMALL, policies=["legal"], baselines=False, workers=2, parallel_episodes=3), there
    )
    assert turns(here, "legal") == turns(there, "legal")
    assert (here / "results.json").read_bytes() == (there / "results.json").read_bytes()


def test_the_command_says_what_it_found(tmp_path):
    done = vlm_gym(
        *("eval", "--games", "2048", "-p", "0,2", "-r", "0", "--episodes", "2"),
        *("--policy", "legal,greedy", "--policy", "middling", "-o", tmp_path / "run", "--workers", "0"),
    )
    assert done.returncode == 0, done.stderr
    rows = [row["policy"] for row in read_json(tmp_path / "run/results.json")["policies"]]
    assert rows == ["random", "greedy", "solver", "legal", "middling"]
    for words in ("random 0, solver 100", "2048 p2 r0, points", "Ahead on the same episodes", *rows):
        assert words in done.stdout
    (command,) = read_json(tmp_path / "run/run.json")["commands"]
    assert command.startswith("vlm-gym eval --games 2048 -p 0,2")


def test_a_model_is_shown_as_many_turns_as_the_suite_says_and_decodes_as_it_says(tmp_path, endpoint):
    server = endpoint(any_move)
    asked = model(server.url, episodes=1)
    suite = replace(asked.suite, history=2, decoding=replace(asked.suite.decoding, max_tokens=77))
    evaluate(replace(asked, suite=suite), tmp_path)
    assert [len(body["messages"]) for body in server.asked[:4]] == [1, 3, 5, 5]
    assert {body["max_tokens"] for body in server.asked} == {77}


def test_an_episode_whose_time_is_up_loses_its_other_turns(tmp_path, endpoint):
    def slowly(body):
        time.sleep(0.05)
        return any_move(body)

    results = evaluate(model(endpoint(slowly).url, reply_budget=0.2), tmp_path)
    (row,) = results["policies"]
    assert results["complete"]
    assert 0 < row["overall"]["numbers"]["late"][0] < 1
    for turn in read(folder(tmp_path, "openai:m") / "turns.jsonl"):
        if "late" in turn.usage:
            assert (turn.reply, turn.action) == ("", None)


def recording(path, episodes, policy="human", player="middling", cut=0):
    """What a person leaves behind, here by the hand of a player."""
    with Recorder(path) as recorder:
        played = list(rollout(episodes, Baseline(player)))
        recorder.write(*[replace(turn, policy=policy) for turn in played[: len(played) - cut]])


def test_people_get_rows_beside_policies(tmp_path):
    mine = SMALL.episodes()
    recording(tmp_path / "me.jsonl", mine[:5])
    recording(tmp_path / "me.jsonl", [Episode("2048", "0", "0", "free", 3)])
    recording(tmp_path / "me.jsonl", mine[5:6], cut=1)
    asked = Evaluation(suite=SMALL, guests=[tmp_path / "me.jsonl"])
    results = evaluate(asked, tmp_path / "run")
    assert results["complete"]
    human = results["policies"][3]
    assert (human["policy"], human["overall"]["episodes"]) == ("human", 5)
    assert "normalised" in human["overall"]["numbers"]
    assert [note.partition(": ")[2] for note in results["notes"]] == [
        "1 episodes of another suite are left out",
        "1 episodes not played to their end are left out",
    ]
    ahead = [each for each in results["comparisons"] if "human" in (each["one"], each["other"])]
    assert {each["episodes"] for each in ahead if each["place"] == "overall"} == {5}


def test_turns_that_were_taken_back_do_not_count_but_are_told(tmp_path):
    (episode, *_) = SMALL.episodes()
    played = [replace(turn, policy="human") for turn in rollout([episode], Baseline("solver"))]
    with Recorder(tmp_path / "me.jsonl") as recorder:
        recorder.write(played[0], played[1], played[0], *played[1:])
    results = evaluate(Evaluation(suite=SMALL, guests=[tmp_path / "me.jsonl"]), tmp_path / "run")
    assert results["policies"][3]["overall"]["turns"] == len(played)
    assert "2 turns had been taken back" in results["notes"][0]


def test_the_folder_of_another_run_can_be_a_guest(tmp_path):
    evaluate(Evaluation(suite=SMALL, policies=["middling", "legal"], baselines=False), tmp_path / "one")
    asked = Evaluation(suite=SMALL, policies=["legal"], guests=[tmp_path / "one"])
    rows = [row["policy"] for row in evaluate(asked, tmp_path / "two")["policies"]]
    assert sorted(rows) == sorted(["random", "greedy", "solver", "legal", "middling", "legal (one)"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--policy robot", "unknown policy 'robot'; policies: random, constant"),
        ("--policy solvr", r"unknown policy 'solvr' \(did you mean 'solver'\?\)"),
        ("--policy openai:", "unknown policy 'openai:'"),
        ("--suite cor", r"unknown suite 'cor' \(did you mean 'core'\?\); suites: core, paper, quick"),
        ("--suite core --games 2048", "--suite core says which games"),
        ("--games 2049", "unknown game '2049'"),
        ("--games 2048 -p 7", "unknown perception level '7'"),
        ("--games 2048 -r 0,0", "2048 p0 r0 is there twice"),
        (
            "--base-url http://x",
            "base_url is no option of the policies random, greedy, solver; they take none",
        ),
        ("--reply-budget 9", "time limit acts on none of the policies random, greedy, solver"),
        ("--no-baselines", "nobody plays"),
        ("--with nowhere.jsonl", "nowhere.jsonl"),
        ("--with .", "holds no episode of this suite"),
        ("--turns a.jsonl", "--turns are what --verify checks"),
    ],
)
def test_a_users_mistake_is_named_before_anybody_plays(tmp_path, words, error, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["eval", "-o", "run", *words.split(), "--episodes", "1"])
    assert isinstance(done.exception, ValueError | OSError)
    assert re.search(error, str(done.exception))
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_mistake_ends_in_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for words, error in (
        ([], "-o FOLDER"),
        (["-o", "file"], "file"),
        (["--policy", "robot", "-o", "x"], "robot"),
    ):
        done = vlm_gym("eval", *words, cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert error in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    words = ["eval", "--games", "2048", "-r", "4", "--episodes", "500", "--workers", "2", "-o", tmp_path]
    run = begin(*words)
    path = tmp_path / "random/turns.jsonl"
    while not (path.exists() and path.stat().st_size):
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the same command goes on from there" in told
    assert "Traceback" not in told


class Mood:
    """A model in this process that fails when it is told to."""

    name = "mood"
    sees = False
    portable = False

    def __init__(self):
        self.asked, self.fails_at = 0, 10**6

    def act(self, requests):
        self.asked += len(requests)
        if self.asked > self.fails_at:
            raise MemoryError("no room")
        return Pupil().act(requests)


def test_a_journal_answers_what_it_knows_and_stops_where_nobody_answers(tmp_path):
    episodes = [Episode("2048", "0", "0", "test", index) for index in range(4)]
    wanted = list(rollout(episodes, Mood()))
    mood = Mood()
    mood.fails_at = 9
    with pytest.raises(Silent, match="mood gave no reply: no room"):
        list(rollout(episodes, Journal(mood, tmp_path / "j.jsonl", episodes)))
    again = Mood()
    assert (
        list(rollout(episodes, Journal(again, tmp_path / "j.jsonl", episodes), parallel_episodes=2)) == wanted
    )
    assert again.asked == len(wanted) - 8
    silent = Mood()
    assert list(rollout(episodes, Journal(silent, tmp_path / "j.jsonl", episodes))) == wanted
    assert silent.asked == 0


def test_a_journal_is_cut_where_it_is_half_written_and_refused_where_it_is_none(tmp_path):
    episodes = [Episode("2048", "0", "0", "test", index) for index in range(2)]
    path = tmp_path / "j.jsonl"
    wanted = list(rollout(episodes, Journal(Mood(), path, episodes)))
    path.write_bytes(path.read_bytes()[:-9])
    again = Mood()
    assert list(rollout(episodes, Journal(again, path, episodes))) == wanted
    assert again.asked == 1
    for text in ("[]\n", "x\n", json.dumps({"episode": asdict(episodes[0]), "number": 0}) + "\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"j\.jsonl holds something else than replies"):
            Journal(Mood(), path, episodes)
        assert path.read_text() == text


@pytest.mark.parametrize("engine", ["hf", "vllm"])
def test_another_model_in_the_same_place_is_noticed(engine, tmp_path):
    """A run that was begun with one model does not go on with another that was trained over it."""
    place = tmp_path / "model"
    place.mkdir()
    (place / "weights").write_text("1")
    one = Evaluation(suite=SMALL, policies=[f"{engine}:{place}"], baselines=False).settings()
    assert Evaluation(suite=SMALL, policies=[f"{engine}:{place}"], baselines=False).settings() == one
    (place / "weights").write_text("22")
    assert Evaluation(suite=SMALL, policies=[f"{engine}:{place}"], baselines=False).settings() != one


def test_all_players_can_be_evaluated(tmp_path):
    small = Suite(part=(Part(games=("2048",), reasoning=("0",), episodes=2),))
    results = evaluate(Evaluation(suite=small, policies=list(PLAYERS)), tmp_path)
    assert {row["policy"] for row in results["policies"]} == set(PLAYERS)
