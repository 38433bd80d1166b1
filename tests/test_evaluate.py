"""Evaluations from end to end: killed and gone on with, endpoints that are lost, people as guests."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path

import pytest
from endpoints import said
from recordings import Pupil
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.episode import Episode
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.runs import folder, opened
from vlm_gym.evaluation.suite import Part, Suite
from vlm_gym.rollouts.baselines import PLAYERS
from vlm_gym.rollouts.journal import Journal, Silent
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.record import Recorder, read, to_line
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import read_json

SMALL = Suite(part=(Part(games=("2048", "swap"), perception=("0", "2"), reasoning=("0",), episodes=3),))
COMMAND = Path(sys.executable).with_name("vlm-gym")


def vlm_gym(*words, **options):
    """Run the command to its end."""
    return subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, timeout=300, **options)


def begin(*words):
    """Start the command, to be stopped on its way."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([COMMAND, *map(str, words)], **pipes)


def turns(out, policy):
    return (folder(out, policy) / "turns.jsonl").read_bytes()


def untimed(out, policy):
    """The turns, without what the clock says."""
    every = list(read(folder(out, policy) / "turns.jsonl"))
    return [replace(turn, usage={**turn.usage, "seconds": 0.0}) for turn in every]


def any_move(body):
    """Reply as a model without a plan does: by the picture, and always the same to the same one."""
    shown = json.dumps(body["messages"]).encode()
    moves = ("left", "up", "right", "down", "sideways")
    return said(f"<answer>{moves[blake2b(shown).digest()[0] % 5]}</answer>")


def model(url, games=("2048",), episodes=8, **limits):
    """A model that plays, without the baselines."""
    part = Part(games=games, reasoning=("0",), episodes=episodes)
    options = {"base_url": url, "retries": 0, "concurrency": 2}
    asked = {"suite": Suite(part=(part,)), "policies": ["openai:m"], "baselines": False, "options": options}
    return Evaluation(**asked, **limits)


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
    evaluate(Evaluation(suite=SMALL, policies=["legal"], baselines=False, workers=2, lanes=3), there)
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


def test_policies_can_join_a_run_and_are_not_played_twice(tmp_path):
    evaluate(Evaluation(suite=SMALL), tmp_path)
    before = {name: turns(tmp_path, name) for name in ("random", "greedy", "solver")}
    results = evaluate(Evaluation(suite=SMALL, policies=["legal"], baselines=False), tmp_path)
    assert [row["policy"] for row in results["policies"]] == ["random", "greedy", "solver", "legal"]
    assert "normalised" in results["policies"][3]["overall"]["numbers"]
    assert before == {name: turns(tmp_path, name) for name in before}


def test_a_killed_run_goes_on_and_ends_with_the_same_file(tmp_path):
    """Killed by SIGKILL three times, wherever that happens to be."""
    words = ("eval", "--policy", "solver", "--no-baselines", "--games", "2048", "-r", "3", "--episodes", "40")
    words += ("--workers", "0", "--lanes", "4")
    done = vlm_gym(*words, "-o", tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    whole, out, kills = turns(tmp_path / "whole", "solver"), tmp_path / "killed", 0
    path = out / "solver/turns.jsonl"
    for share in (0.2, 0.5, 0.8):
        run = begin(*words, "-o", out)
        while run.poll() is None and not (path.exists() and path.stat().st_size > share * len(whole)):
            time.sleep(0.005)
        kills += run.poll() is None
        run.kill()
        run.wait()
        assert whole.startswith(path.read_bytes())
    assert kills == 3
    done = vlm_gym(*words, "-o", out)
    assert done.returncode == 0, done.stderr
    assert turns(out, "solver") == whole
    assert read_json(out / "results.json") == read_json(tmp_path / "whole/results.json")


def test_no_reply_of_a_model_is_asked_for_twice_after_a_kill(tmp_path, endpoint):
    def slowly(body):
        time.sleep(0.01)
        return any_move(body)

    whole = tmp_path / "whole"
    evaluate(model(endpoint(any_move).url), whole)
    server = endpoint(slowly)
    words = ("eval", "--policy", "openai:m", "--no-baselines", "--games", "2048", "-r", "0")
    words += (
        "--episodes",
        "8",
        "--base-url",
        server.url,
        "--option",
        "concurrency=2",
        "-o",
        tmp_path / "killed",
    )
    total = len(untimed(whole, "openai:m"))
    kills = 0
    for share in (0.3, 0.7):
        run = begin(*words)
        while run.poll() is None and len(server.asked) < share * total:
            time.sleep(0.005)
        kills += run.poll() is None
        run.kill()
        run.wait()
    assert kills == 2
    done = vlm_gym(*words)
    assert done.returncode == 0, done.stderr
    assert untimed(tmp_path / "killed", "openai:m") == untimed(whole, "openai:m")
    # Two requests were on their way at each kill, and nobody was there to write their replies down.
    assert total <= len(server.asked) <= total + 2 * 2
    assert not (folder(tmp_path / "killed", "openai:m") / "replies.jsonl").exists()


def test_a_run_that_lost_its_endpoint_ends_with_what_it_has_and_can_go_on(tmp_path, endpoint):
    """The four episodes are played side by side, and those of swap end first, two turns before the others."""
    asked = iter(range(10**6))

    def lost(body):
        return any_move(body) if next(asked) < 42 else (404, {"error": {"message": "gone"}})

    games, whole, out = ("2048", "swap"), tmp_path / "whole", tmp_path / "lost"
    evaluate(model(endpoint(any_move).url, games=games, episodes=2), whole)
    every = untimed(whole, "openai:m")
    results = evaluate(model(endpoint(lost).url, games=games, episodes=2), out)
    assert not results["complete"]
    assert results["missing"]["openai:m"]["episodes"] == 2
    assert re.search("openai:m gave no reply: .*gone", results["missing"]["openai:m"]["why"])
    assert results["policies"][0]["overall"]["episodes"] == 2
    assert untimed(out, "openai:m") == [turn for turn in every if turn.episode.game == "swap"]
    server = endpoint(any_move)
    assert evaluate(model(server.url, games=games, episodes=2), out)["complete"]
    assert untimed(out, "openai:m") == every
    assert len(server.asked) <= len(every) - 41


def test_the_command_fails_where_an_endpoint_is_lost_and_tells_it(tmp_path):
    words = ("eval", "--policy", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "--option", "retries=0")
    done = vlm_gym(
        *words, "--games", "2048", "-r", "0", "--episodes", "2", "-o", tmp_path, "--submit", tmp_path / "x"
    )
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "openai:m lacks 2 episodes: openai:m gave no reply: " in told
    assert told.count("gave no reply") == 1
    assert "not complete" in done.stderr
    assert not (tmp_path / "x").exists()
    assert [row["overall"]["episodes"] for row in read_json(tmp_path / "results.json")["policies"]] == [
        2,
        2,
        2,
        0,
    ]


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

    results = evaluate(model(endpoint(slowly).url, patience=0.2), tmp_path)
    (row,) = results["policies"]
    assert results["complete"]
    assert 0 < row["overall"]["numbers"]["late"][0] < 1
    for turn in read(folder(tmp_path, "openai:m") / "turns.jsonl"):
        if "late" in turn.usage:
            assert (turn.reply, turn.action) == ("", None)


def test_a_run_goes_on_only_with_the_same_settings(tmp_path):
    evaluate(Evaluation(suite=SMALL, policies=["legal"], baselines=False), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    others = {
        r"suite\.history is 0 there and 1 here": replace(SMALL, history=1),
        r"suite\.decoding\.temperature is 0\.0 there and 1\.0 here": replace(
            SMALL, decoding=replace(SMALL.decoding, temperature=1.0)
        ),
        r"suite\.cells has 4 entries there and 2 here": Suite(
            part=(Part(games=("2048", "swap"), reasoning=("0",), episodes=3),)
        ),
        r"suite\.cells\[0\]\.episodes is 3 there and 4 here": SMALL.with_limits(4, None, None),
        r"suite\.cells\[0\]\.knobs\.turns is 12 there and 9 here": SMALL.with_limits(None, 9, None),
    }
    for error, suite in others.items():
        with pytest.raises(ValueError, match=f"made with other settings: .*{error}; choose another folder"):
            evaluate(Evaluation(suite=suite, policies=["legal"], baselines=False), tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_two_evaluations_do_not_share_a_folder_at_once(tmp_path):
    asked = Evaluation(suite=SMALL, policies=["legal"], baselines=False)
    with opened(tmp_path, asked.settings()), pytest.raises(ValueError, match=r"in use by process \d+"):
        evaluate(asked, tmp_path)
    assert evaluate(asked, tmp_path)["complete"]


def test_a_policy_that_never_said_a_word_is_forgotten_and_one_that_did_is_not(tmp_path, endpoint):
    asked = Evaluation(suite=SMALL, policies=["legal"], baselines=False)
    nowhere = replace(
        asked, policies=["openai:typo"], options={"base_url": "http://127.0.0.1:9/v1", "retries": 0}
    )
    assert not evaluate(nowhere, tmp_path)["complete"]
    assert evaluate(asked, tmp_path)["complete"]
    replies = iter([any_move])
    server = endpoint(lambda body: next(replies, lambda body: (404, {}))(body))
    begun = replace(
        asked, policies=["openai:m"], options={"base_url": server.url, "retries": 0, "concurrency": 1}
    )
    assert list(evaluate(begun, tmp_path)["missing"]) == ["openai:m"]
    results = evaluate(asked, tmp_path)
    assert results["missing"]["openai:m"]["why"] == "stopped before its end"
    assert list(read_json(tmp_path / "run.json")["policies"]) == ["legal", "openai:m"]


def test_files_that_are_not_of_this_run_are_left_as_they_are(tmp_path):
    asked = Evaluation(suite=SMALL, policies=["legal"], baselines=False)
    foreign = {
        "not a line of JSON": "hello\n",
        "not a turn": '{"version": 1, "a": 1}\n',
        "made by another command": "".join(
            f"{to_line(turn)}\n"
            for turn in rollout([Episode("2048", "0", "0", "train", 1)], Baseline("legal"))
        ),
        "by solver is not to be played": "".join(
            f"{to_line(turn)}\n" for turn in rollout(SMALL.episodes()[:1], Baseline("solver"))
        ),
    }
    for number, (error, text) in enumerate(foreign.items()):
        path = tmp_path / str(number) / "legal/turns.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        with pytest.raises(ValueError, match=error):
            evaluate(asked, tmp_path / str(number))
        assert path.read_text() == text


def test_what_was_half_written_is_written_again(tmp_path):
    asked = Evaluation(suite=SMALL, policies=["legal"], baselines=False)
    evaluate(asked, tmp_path)
    path, whole = tmp_path / "legal/turns.jsonl", turns(tmp_path, "legal")
    for size in (0, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:size])
        evaluate(asked, tmp_path)
        assert path.read_bytes() == whole


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
        ("--episode-limit 9", "time limit acts on none of the policies random, greedy, solver"),
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
    assert list(rollout(episodes, Journal(again, tmp_path / "j.jsonl", episodes), lanes=2)) == wanted
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
