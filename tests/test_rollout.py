"""Rollouts: the same turns however they are made, and a file that no accident leaves in pieces."""

import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_gym.episode import Episode
from vlm_gym.recordings.record import Recorder, from_line, read, to_line
from vlm_gym.rollouts.collect import append, collect, resume
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.workers import Processes

GAMES = ("2048", "swap", "shisen_sho")


def episodes(count, reasoning="1"):
    return [Episode(game, "0", reasoning, "train", index) for index in range(count) for game in GAMES]


EPISODES = episodes(8)


class Model:
    """A policy that stays in one process, as one with weights does, and looks at pictures."""

    name = "model"
    sees = True
    portable = False

    def __init__(self):
        self.player = Baseline("middling")
        self.batches = []

    def act(self, requests):
        self.batches.append(len(requests))
        return [self.look(request) for request in requests]

    def look(self, request):
        (reply,) = self.player.act([request])
        bright = request.picture().mean() > 128
        return f"<think>bright: {bright}</think>{reply}" if bright else reply


class Mute:
    name = "mute"
    sees = False
    portable = False

    def act(self, requests):
        return ["<answer>left</answer>"] * (len(requests) - 1)


@pytest.fixture(scope="module")
def lines():
    return {policy.name: [to_line(turn) for turn in rollout(EPISODES, policy)] for policy in players()}


def players():
    return Baseline("middling"), Model()


def test_turns_come_episode_by_episode_in_the_order_asked_for(lines):
    turns = [from_line(line) for line in lines["middling"]]
    assert [episode for episode, _ in itertools.groupby(turn.episode for turn in turns)] == EPISODES
    for _, group in itertools.groupby(turns, key=lambda turn: turn.episode):
        played = list(group)
        assert [turn.number for turn in played] == list(range(len(played)))
        assert [turn.terminated or turn.truncated for turn in played] == [False] * (len(played) - 1) + [True]


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("policy", players(), ids=["portable", "model"])
def test_turns_are_the_same_bit_for_bit_whatever_the_number_of_processes(lines, workers, policy):
    assert [to_line(turn) for turn in rollout(EPISODES, policy, workers=workers)] == lines[policy.name]


@pytest.mark.parametrize(("workers", "parallel"), [(0, 1), (0, 3), (0, 1000), (2, 3)])
def test_turns_are_the_same_bit_for_bit_whatever_the_number_of_parallel_episodes(lines, workers, parallel):
    turns = rollout(EPISODES, Baseline("middling"), workers=workers, parallel_episodes=parallel)
    assert [to_line(turn) for turn in turns] == lines["middling"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_model_is_asked_in_batches_no_larger_than_the_lanes(workers):
    model = Model()
    turns = list(rollout(EPISODES, model, workers=workers, parallel_episodes=8))
    assert sum(model.batches) == len(turns)
    assert 4 <= max(model.batches) <= 8


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slow_reader_holds_up_the_episodes(workers):
    begun = []

    def asked():
        for index in itertools.count():
            begun.append(index)
            yield Episode("2048", "0", "0", "train", index)

    turns = rollout(asked(), Baseline("legal"), workers=workers, parallel_episodes=4)
    for _ in range(3):
        next(turns)
        time.sleep(0.3 if workers else 0.0)
    assert len(begun) <= 4 * 4 + 1
    turns.close()


def test_a_process_that_is_killed_in_the_middle_of_its_games_changes_nothing(tmp_path, caplog):
    wanted = [to_line(turn) for turn in rollout(EPISODES, Deadly(tmp_path / "absent"))]
    (tmp_path / "deadly").touch()
    turns = rollout(EPISODES, Deadly(tmp_path / "deadly"), workers=2, parallel_episodes=4)
    assert [to_line(turn) for turn in turns] == wanted
    (record,) = caplog.records
    assert "got signal 9 over 2 episodes from Episode(game=" in record.message


class Deadly(Baseline):
    """Kills its process once, where it finds a file."""

    def __init__(self, mark):
        super().__init__("legal")
        self.mark = mark

    def act(self, requests):
        if self.mark.exists() and requests[0].number == 3:
            self.mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(requests)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reply_too_few_is_an_error(workers):
    with pytest.raises(ValueError, match="zip"):
        list(rollout(EPISODES, Mute(), workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unknown_game_is_an_error_that_names_it(workers):
    with pytest.raises(ValueError, match="unknown game 'chess'"):
        list(rollout([Episode("chess")], Baseline("legal"), workers=workers))


def test_no_lane_is_an_error():
    with pytest.raises(ValueError, match="parallel_episodes=0 is not possible"):
        rollout(EPISODES, Baseline("legal"), parallel_episodes=0)


# Files


KINDS = pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files of all episodes by a player, as one undisturbed run makes them."""
    folder = tmp_path_factory.mktemp("whole")
    for kind in ("jsonl", "jsonl.zst"):
        collect(folder / f"turns.{kind}", EPISODES, Baseline("middling"))
    return folder


@KINDS
def test_a_file_reads_back_as_the_turns_it_was_made_of(whole, lines, kind):
    assert [to_line(turn) for turn in read(whole / f"turns.{kind}")] == lines["middling"]


def test_a_packed_file_is_a_tenth_in_size(whole):
    assert (whole / "turns.jsonl.zst").stat().st_size < 0.1 * (whole / "turns.jsonl").stat().st_size


@KINDS
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.77, 0.999, 1.0])
def test_a_file_cut_off_anywhere_is_made_whole_again(whole, tmp_path, kind, share):
    complete = (whole / f"turns.{kind}").read_bytes()
    path = tmp_path / f"turns.{kind}"
    path.write_bytes(complete[: round(share * len(complete))])
    collect(path, EPISODES, Baseline("middling"), workers=0)
    assert path.read_bytes() == complete


@KINDS
def test_a_file_can_be_made_longer(whole, tmp_path, kind):
    path = tmp_path / f"turns.{kind}"
    for count in (3, 3, 8):
        collect(path, episodes(count), Baseline("middling"))
    assert path.read_bytes() == (whole / f"turns.{kind}").read_bytes()


@KINDS
@pytest.mark.parametrize(
    ("asked", "policy", "told"),
    [
        (EPISODES, "solver", "by middling where this one plays Episode.* by solver"),
        (EPISODES[1:], "middling", "game='2048'.* where this one plays Episode.game='swap'"),
        ([replace(one, perception="2") for one in EPISODES], "middling", "plays Episode.*perception='2'"),
        (EPISODES[:5], "middling", "plays nothing more"),
    ],
    ids=["policy", "episodes", "perception", "fewer"],
)
def test_a_file_of_another_command_is_refused_and_left_alone(whole, tmp_path, kind, asked, policy, told):
    path = tmp_path / f"turns.{kind}"
    path.write_bytes((whole / f"turns.{kind}").read_bytes()[:-20])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"made by another command: .*{told}.*; choose another file"):
        resume(path, asked, policy)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("turns.txt", b"", "ends in .jsonl or .jsonl.zst"),
        ("turns.jsonl", b"dear diary\nit rained\n", "cannot be gone on with: not a line of JSON"),
        ("turns.jsonl.zst", b"dear diary, it rained", "broken, or not packed by zstd"),
    ],
)
def test_a_file_that_holds_no_turns_is_refused_and_left_alone(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        collect(path, EPISODES, Baseline("legal"))
    assert path.read_bytes() == content


@KINDS
def test_a_recorder_cuts_off_what_is_half_written_and_says_so(whole, tmp_path, kind, caplog):
    path = tmp_path / f"turns.{kind}"
    path.write_bytes((whole / f"turns.{kind}").read_bytes()[:-5])
    turns = list(read(whole / f"turns.{kind}"))
    with Recorder(path) as recorder:
        recorder.write(turns[-1])
    assert "half-written; cutting it off" in caplog.text
    kept = list(read(path))
    assert kept[:-1] == turns[: len(kept) - 1]
    assert kept[-1] == turns[-1]


@KINDS
def test_reading_names_the_line_that_is_broken(whole, tmp_path, kind):
    path = tmp_path / f"turns.{kind}"
    path.write_bytes((whole / f"turns.{kind}").read_bytes()[:-5])
    with pytest.raises(ValueError, match=rf"turns\.{kind}, (after )?line \d+: "):
        list(read(path))


# The command, in a process of its own

COMMAND = [str(Path(sys.executable).parent / "vlm-gym"), "rollout", "--games", ",".join(GAMES), "-r", "1"]
COMMAND += ["--policy", "middling", "--episodes", "8", "-o"]


def start(path, *options, **keywords):
    return subprocess.Popen(
        [*COMMAND, path, *options], stderr=subprocess.PIPE, text=True, start_new_session=True, **keywords
    )


def wait_for_bytes(path, count):
    deadline = time.monotonic() + 60
    while not path.exists() or path.stat().st_size < count:
        assert time.monotonic() < deadline, f"{path} does not grow"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "workers", "kind"),
    [(signal.SIGKILL, "0", "jsonl"), (signal.SIGKILL, "2", "jsonl.zst"), (signal.SIGINT, "2", "jsonl")],
)
def test_a_command_that_is_stopped_goes_on_to_the_same_file(whole, tmp_path, number, workers, kind):
    path = tmp_path / f"turns.{kind}"
    job = start(path, "--parallel-episodes", "4", "--workers", workers)
    wait_for_bytes(path, 1000)
    os.killpg(job.pid, number)
    _, told = job.communicate(timeout=20)
    assert path.stat().st_size < (whole / f"turns.{kind}").stat().st_size, (
        "it had ended before it was stopped"
    )
    if number == signal.SIGINT:
        assert job.returncode == 130
        assert "Traceback" not in told
        assert "of 24 episodes; the same command goes on from there" in told
        list(read(path))
    job = start(path)
    _, told = job.communicate(timeout=60)
    assert job.returncode == 0
    assert path.read_bytes() == (whole / f"turns.{kind}").read_bytes()


@KINDS
def test_a_full_disk_ends_in_a_clear_error_and_a_whole_file(whole, tmp_path, kind):
    path = tmp_path / f"turns.{kind}"
    complete = (whole / f"turns.{kind}").read_bytes()
    room = len(complete) // 2

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    job = start(path, preexec_fn=little_room)
    _, told = job.communicate(timeout=60)
    assert job.returncode == 2
    assert f"File too large: '{path}'" in told.replace("\n", "")
    assert "of 24 episodes; the same command goes on from there" in told
    assert "Traceback" not in told
    whole_lines = [to_line(turn) for turn in read(path)]
    assert 0 < path.stat().st_size <= room
    assert whole_lines == [to_line(turn) for turn in read(whole / f"turns.{kind}")][: len(whole_lines)]


def test_turns_that_the_disk_refuses_leave_those_before_alone(tmp_path):
    path = tmp_path / "turns.jsonl"
    turns = list(rollout(EPISODES[:2], Baseline("legal")))
    list(append(path, turns))
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    with Recorder(path) as recorder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                recorder.write(turns[0])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        recorder.write(turns[0])
    assert list(read(path)) == [*turns, turns[0]]


def test_a_pool_serves_as_workers(lines):
    turns = rollout(EPISODES, Baseline("middling"), workers=Processes(2, limit=60), parallel_episodes=16)
    assert [to_line(turn) for turn in turns] == lines["middling"]
