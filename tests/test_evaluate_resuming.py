"""Evaluations that are stopped, joined or disturbed go on, or refuse with the reason."""

import re
import time
from dataclasses import replace

import pytest
from evaluations import SMALL, any_move, begin, model, turns, vlm_gym

from vlm_gym.episode import Episode
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.run_folder import folder, opened
from vlm_gym.evaluation.suite import Part, Suite
from vlm_gym.recordings.record import read, to_line
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import read_json, write_json


def untimed(out, policy):
    """The turns, without what the clock says."""
    every = list(read(folder(out, policy) / "turns.jsonl"))
    return [replace(turn, usage={**turn.usage, "seconds": 0.0}) for turn in every]


def test_policies_can_join_a_run_and_are_not_played_twice(tmp_path):
    evaluate(Evaluation(suite=SMALL), tmp_path)
    before = {name: turns(tmp_path, name) for name in ("random", "greedy", "solver")}
    results = evaluate(Evaluation(suite=SMALL, policies=["legal"], baselines=False), tmp_path)
    assert [row["policy"] for row in results["policies"]] == ["random", "greedy", "solver", "legal"]
    assert "normalised" in results["policies"][3]["overall"]["numbers"]
    assert before == {name: turns(tmp_path, name) for name in before}


def test_a_run_with_the_earlier_name_of_the_reply_budget_goes_on(tmp_path, endpoint):
    server = endpoint(any_move)
    asked = model(server.url, episodes=1, reply_budget=60)
    evaluate(asked, tmp_path)
    run = read_json(tmp_path / "run.json")
    how = run["policies"]["openai:m"]
    how["patience"] = how.pop("reply_budget")
    write_json(tmp_path / "run.json", run)
    count = len(server.asked)
    evaluate(asked, tmp_path)
    assert len(server.asked) == count
    assert read_json(tmp_path / "run.json")["policies"]["openai:m"]["reply_budget"] == 60


def test_a_killed_run_goes_on_and_ends_with_the_same_file(tmp_path):
    """Killed by SIGKILL three times, wherever that happens to be."""
    words = ("eval", "--policy", "solver", "--no-baselines", "--games", "2048", "-r", "3", "--episodes", "40")
    words += ("--workers", "0", "--parallel-episodes", "4")
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
    path = tmp_path / "legal/turns.jsonl"
    whole = turns(tmp_path, "legal")
    for size in (0, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:size])
        evaluate(asked, tmp_path)
        assert path.read_bytes() == whole
