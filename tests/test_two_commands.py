"""Trials of reliability: two commands that write one file or folder; the second is refused or waits."""

import signal
import subprocess
from pathlib import Path
from threading import Event

import pytest
from commands import EVAL, RECIPE, ROLLOUT, answer, held, rollouts, run, start, turns, until

pytestmark = pytest.mark.faults
slow = pytest.mark.slow


@pytest.fixture
def server(endpoint):
    return endpoint(answer)


@pytest.fixture(scope="module")
def rolled(tmp_path_factory) -> dict[str, bytes]:
    """What undisturbed rollouts write."""
    return rollouts(tmp_path_factory.mktemp("rolled"))


def second_is_refused(lock: Path, *words: object, first: tuple[object, ...] = ()) -> subprocess.Popen[str]:
    """Start a command, and the same again while it has its lock. Return the first."""
    one = start(*(first or words))
    until(lambda: held(lock, one), one)
    one.send_signal(signal.SIGSTOP)  # it keeps its lock, however slowly the second command starts
    status, told = run(*words)
    one.send_signal(signal.SIGCONT)
    assert status == 2, told
    assert f"is in use by process {one.pid} on " in told
    assert f"(vlm-gym {(first or words)[0]} " in told
    assert "Traceback" not in told
    return one


def test_two_rollouts_into_one_file(rolled, tmp_path):
    words = (*ROLLOUT, "-o", tmp_path / "t.jsonl")
    one = second_is_refused(tmp_path / ".t.jsonl.lock", *words)
    assert one.wait(120) == 0
    assert (tmp_path / "t.jsonl").read_bytes() == rolled["jsonl"]


def test_rollouts_that_start_in_the_same_moment(rolled, tmp_path):
    words = (*ROLLOUT, "-o", tmp_path / "t.jsonl")
    many = [start(*words) for _ in range(3)]
    told = [each.communicate(timeout=300)[1] for each in many]
    status = [each.returncode for each in many]
    assert set(status) <= {0, 2}, told
    assert 0 in status
    assert (tmp_path / "t.jsonl").read_bytes() == rolled["jsonl"]
    assert run(*words)[0] == 0
    assert (tmp_path / "t.jsonl").read_bytes() == rolled["jsonl"]


def test_two_people_record_into_one_file(tmp_path):
    path = tmp_path / "me.jsonl"
    words = ("play", "2048", "--terminal", "--record", path)
    one = second_is_refused(tmp_path / ".me.jsonl.lock", *words)
    assert run(*ROLLOUT, "-o", path)[0] == 2
    _, told = one.communicate("left\nright\nup\nq\n", timeout=60)
    assert one.returncode == 0, told
    assert path.read_text().count("\n") == 3


@slow
def test_two_evaluations_in_one_folder(server, tmp_path):
    words = (*EVAL, "--policy", "openai:m", "--base-url", server.url)
    assert run(*words, "-o", tmp_path / "whole")[0] == 0
    asked = len(server.asked)
    one = second_is_refused(tmp_path / "run/.lock", *words, "-o", tmp_path / "run")
    assert one.wait(120) == 0
    assert turns(tmp_path / "run") == turns(tmp_path / "whole")
    assert len(server.asked) == 2 * asked


@slow
def test_a_rollout_into_the_file_of_an_evaluation(server, tmp_path):
    path = tmp_path / "run/openai-m/turns.jsonl"
    first = (*EVAL, "--policy", "openai:m", "--base-url", server.url, "-o", tmp_path / "run")
    one = second_is_refused(path.with_name(".turns.jsonl.lock"), *ROLLOUT, "-o", path, first=first)
    assert one.wait(120) == 0


@slow
def test_two_commands_that_want_the_same_data(endpoint, tmp_path):
    pytest.importorskip("datasets", reason="the extra `train` is not installed")
    waiting = Event()
    server = endpoint(lambda body: answer(body) if waiting.wait(120) else (500, {}))
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("URL", server.url))
    words = ("data", tmp_path / "recipe.toml", "-o", tmp_path / "data", "--format", "easyr1")
    one = start(*words)
    until(lambda: held(tmp_path / "data/.lock", one), one)
    two = start(*words)
    assert f"is in use by process {one.pid} on " in two.stderr.readline()
    waiting.set()
    _, told = two.communicate(timeout=120)
    assert two.returncode == 0, told
    assert one.wait(120) == 0
    once = len(server.asked)
    assert run("data", tmp_path / "recipe.toml", "-o", tmp_path / "again")[0] == 0
    assert len(server.asked) == 2 * once
    assert not [path for path in (tmp_path / "data").rglob("*") if path.name.endswith((".part", ".lock"))]


@slow
def test_two_trainings_in_one_folder(tmp_path):
    pytest.importorskip("trl", reason="the extra `train` is not installed")
    words = ("train", "tiny_cpu", "-o", tmp_path / "run", "--num-processes", "1")
    one = second_is_refused(tmp_path / "run/.lock", *words)
    one.kill()
    one.communicate()
    two = second_is_refused(tmp_path / "run/.lock", *words)  # the lock of a killed run is free
    two.kill()
    two.communicate()
