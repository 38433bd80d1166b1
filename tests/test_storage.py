"""Files of runs: one writer at a time, whole or not written, and nothing of somebody else destroyed."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlm_gym.config import load
from vlm_gym.episode import Episode
from vlm_gym.evaluation.run_folder import finished
from vlm_gym.evaluation.suite import Suite
from vlm_gym.play.session import Session
from vlm_gym.play.walk import Walk
from vlm_gym.recordings.record import Recorder, read
from vlm_gym.replays.replay import plays, verify
from vlm_gym.rollouts.collect import collect, resume
from vlm_gym.rollouts.journal import REPLY_LINES, Journal
from vlm_gym.rollouts.policy import make
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import (
    Appender,
    InUse,
    LineFormat,
    dumps,
    locked,
    locked_folder,
    read_json,
    read_lines,
    whole,
    write_json,
    write_text,
)
from vlm_gym.storage.compression import zstd

EPISODES = [Episode("2048", "size=64", "level=0,turns=3", "train", index) for index in range(4)]


def number(line: str) -> int:
    data = json.loads(line)
    if "n" not in data:
        raise ValueError("no number")
    return int(data["n"])


NUMBERS = LineFormat("numbers", b'{"n":', number)


def written(numbers) -> bytes:
    return b"".join(f"{dumps({'n': each, 'pad': 'x' * each})}\n".encode() for each in numbers)


def other(code: str, *arguments: object, **options):
    """Start another process that runs `code` with storage imported."""
    text = f"import os, sys, time\nfrom pathlib import Path\nfrom vlm_gym.storage import *\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)], text=True, stdout=subprocess.PIPE, **options
    )


HOLD = "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of ``file``."""
    process = other(HOLD, tmp_path / "file", "https://me:secret@host/v1?key=secret")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


# Locks


def test_a_second_writer_learns_who_holds_the_lock_but_no_password(holder, tmp_path):
    with pytest.raises(InUse, match=rf"file is in use by process {holder.pid} on \S+ \(-c ") as caught:
        locked(tmp_path / "file").__enter__()
    assert "//***@host/v1?key=***" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "secret" not in (tmp_path / ".file.lock").read_text()
    with locked(tmp_path / "another"):
        pass


def test_a_link_to_a_file_shares_its_lock(holder, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(InUse):
        locked(tmp_path / "link").__enter__()


def test_the_lock_of_a_killed_process_is_free_and_leaves_nothing(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".file.lock").exists()
    with locked(tmp_path / "file"):
        told = json.loads((tmp_path / ".file.lock").read_text())
        assert told["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", ["", "not json", "[]", '{"pid": 1}'])
def test_whatever_stands_in_a_lock_file_the_lock_works(left, tmp_path):
    (tmp_path / ".lock").write_text(left)
    with locked_folder(tmp_path), pytest.raises(InUse):
        locked_folder(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []


FORK = """
import signal
with locked(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        signal.pause()
    time.sleep(60)
"""


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    process = other(FORK, tmp_path / "file")
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        with locked(tmp_path / "file"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


COUNT = """
path = Path(sys.argv[1])
for _ in range(40):
    with locked(path, wait=True):
        count = int(path.read_text())
        path.write_text(str(count + 1))
"""


def test_writers_that_wait_for_each_other_lose_nothing(tmp_path):
    (tmp_path / "count").write_text("0")
    processes = [other(COUNT, tmp_path / "count", stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert (tmp_path / "count").read_text() == "160"


def test_without_fcntl_a_command_ends_in_one_line(tmp_path):
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "sys.argv = ['vlm-gym', 'rollout', '--games', '2048', '-o', 't.jsonl']\n"
        "from vlm_gym.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Linux and macOS only" in done.stderr


# Whole files


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": "ä"})
    with pytest.raises(UnicodeEncodeError), whole(path) as aside:
        aside.write_text("half of it \ud800", encoding="utf-8")
    assert read_json(path) == {"a": "ä"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"
    write_text(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_is_an_error_that_names_the_file():
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        write_text(Path("/dev/full"), "text")


# Appending


def limited(size: int):
    """Limit the size of this process's files: writes are short, then refused."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture
def unlimited():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["n.jsonl", "n.jsonl.zst"])
@pytest.mark.parametrize("room", [0, 1, 11])
def test_a_short_write_is_undone_and_room_that_comes_back_is_used(name, room, tmp_path, unlimited):
    path = tmp_path / name
    with Appender(path, NUMBERS) as file:
        file.write('{"n":1}\n')
        before = path.read_bytes()
        limited(len(before) + room)
        with pytest.raises(OSError, match="File too large") as caught:
            file.write(f'{{"n":2,"pad":"{os.urandom(30).hex()}"}}\n')
        assert caught.value.filename == str(path)
        assert path.read_bytes() == before
        limited(resource.RLIM_INFINITY)
        file.write('{"n":3}\n')
    assert [*read_lines(path, NUMBERS)] == [1, 3]


@given(numbers=st.lists(st.integers(0, 40), min_size=1, max_size=5), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_wherever_a_crash_cuts_a_file_the_next_line_is_on_a_line_of_its_own(numbers, data, tmp_path):
    path = tmp_path / "n.jsonl"
    text = written(numbers)
    end = data.draw(st.integers(0, len(text)))
    path.write_bytes(text[:end])
    with Appender(path, NUMBERS) as file:
        file.write('{"n":99}\n')
    kept = [number(line) for line in text[: end + 1].decode().split("\n")[:-1]]
    assert [*read_lines(path, NUMBERS)] == [*kept, 99]
    assert path.read_bytes() == written(kept) + b'{"n":99}\n'


@given(numbers=st.lists(st.integers(0, 40), min_size=2, max_size=6), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_journal_is_read_around_a_torn_line(numbers, data, tmp_path):
    """A line ends early, and the next one is glued to it or not."""
    path = tmp_path / "n.jsonl"
    lines = written(numbers).splitlines(keepends=True)
    torn = data.draw(st.integers(0, len(lines) - 2))
    end = data.draw(st.integers(1, len(lines[torn]) - 2))
    glue = data.draw(st.sampled_from([b"", b"\n", b"\0\0\0\n"]))
    lines[torn] = lines[torn][:end] + glue
    path.write_bytes(b"".join(lines))
    found = [*read_lines(path, NUMBERS)]
    assert found == numbers[:torn] + numbers[torn + 1 :]
    with Appender(path, NUMBERS) as file:
        file.write('{"n":99}\n')
    assert [*read_lines(path, NUMBERS)] == [*found, 99]


def test_a_paid_reply_survives_a_torn_line_before_it(tmp_path, caplog):
    path = tmp_path / "replies.jsonl"
    policy = make("legal")
    journal = Journal(policy, path, EPISODES)
    turns = list(rollout(EPISODES, journal))
    journal.close()
    text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:40], *lines[3:]]))
    again = Journal(policy, path, EPISODES)
    assert len(again) == len(lines) - 1
    assert f"{path}, line 3 is torn" in caplog.text
    assert list(rollout(EPISODES, again)) == turns
    again.close()


def test_lone_surrogates_and_line_separators_in_a_reply_are_written_and_read(tmp_path):
    words = "\ud800 \u2028 \x85 ä 🙂"
    with Appender(tmp_path / "n.jsonl", NUMBERS) as file:
        file.write(f"{dumps({'n': 1, 'words': words})}\n")
    (line,) = (tmp_path / "n.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["words"] == words


# Files that are not ours


STRANGE = {
    "prose": b"my only copy, without a line end",
    "prose with lines": b"one\ntwo\nthree",
    "an object": b'{"a": 1}',
    "an indented object": b'{\n  "a": 1\n}\n',
    "a list": b"[1, 2]\n",
    "lines of another": b'{"id": 1}\n{"id": 2}',
    "a torn line of another": b'{"id": 1}\n{"id": 2, "te',
    "one torn line of another": b'{"id": 1, "text": "prec',
    "binary": bytes(range(256)) * 3,
}


def session(path):
    Session("2048", record=path).close()


WRITERS = {
    "recorder": lambda path: Recorder(path).close(),
    "play": session,
    "play --suite": lambda path: Walk(EPISODES, path).close(),
    "rollout": lambda path: collect(path, EPISODES, make("legal")),
    "resume": lambda path: resume(path, EPISODES, "legal"),
    "eval": lambda path: finished(path, EPISODES, "legal"),
    "journal": lambda path: Journal(make("legal"), path, EPISODES).close(),
    "appender": lambda path: Appender(path, NUMBERS).close(),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("held", STRANGE)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(writer, held, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(STRANGE[held])
    with pytest.raises(ValueError, match=r"x\.jsonl"):
        WRITERS[writer](path)
    assert path.read_bytes() == STRANGE[held]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("writer", ["recorder", "rollout", "resume", "eval", "play --suite"])
@pytest.mark.parametrize("end", [b"my notes", b'{"id": 1}', b'{"id": 1'])
def test_what_others_wrote_behind_turns_is_not_cut_off(writer, end, tmp_path):
    path = tmp_path / "x.jsonl"
    collect(path, EPISODES[:2], make("legal"))
    before = path.read_bytes() + end
    path.write_bytes(before)
    with pytest.raises(ValueError, match=r"x\.jsonl"):
        WRITERS[writer](path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst"])
def test_a_compressed_file_of_something_else_is_left_as_it_is(kind, tmp_path):
    path = tmp_path / "x.jsonl.zst"
    packed = zstd.compress(b'{"id": 1}\n' * 50_000)
    path.write_bytes(packed if kind == "jsonl" else packed[:-4] + zstd.compress(b"x"))
    before = path.read_bytes()
    for writer in ("recorder", "rollout"):
        with pytest.raises(ValueError, match=r"x\.jsonl\.zst"):
            WRITERS[writer](path)
        assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.zst"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_rollouts_go_on_from_wherever_the_file_was_cut(name, share, tmp_path):
    path = tmp_path / name
    collect(path, EPISODES, make("legal"))
    text = path.read_bytes()
    for size in {int(share * len(text)), max(0, len(text) - 1)}:
        path.write_bytes(text[:size])
        collect(path, EPISODES, make("legal"))
        assert path.read_bytes() == text


def test_a_whole_last_line_without_a_line_end_is_a_line(tmp_path):
    path = tmp_path / "t.jsonl"
    collect(path, EPISODES, make("legal"))
    text = path.read_bytes()
    turns = list(read(path))
    path.write_bytes(text[:-1])
    assert list(read(path)) == turns
    assert sum(len(play.turns) for play in plays(path)) == len(turns)
    assert verify(path).problems == []
    assert len(finished(path, EPISODES, "legal")) == len(EPISODES)
    assert path.read_bytes() == text


def test_a_byte_order_mark_is_read(tmp_path):
    mark = b"\xef\xbb\xbf"
    path = tmp_path / "t.jsonl"
    collect(path, EPISODES[:2], make("legal"))
    turns = list(read(path))
    path.write_bytes(mark + path.read_bytes())
    assert list(read(path)) == turns
    assert verify(path).problems == []
    assert resume(path, EPISODES, "legal") == 2
    (tmp_path / "a.json").write_bytes(mark + b'{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "s.toml").write_bytes(mark + b'about = "x"\n[[part]]\ngames = ["2048"]\n')
    assert load(Suite, tmp_path / "s.toml").about == "x"
    (tmp_path / "r.jsonl").write_bytes(mark + b'{"n":1}\n')
    assert [*read_lines(tmp_path / "r.jsonl", NUMBERS)] == [1]


def test_two_recorders_in_one_process_do_not_share_a_file(tmp_path):
    with Recorder(tmp_path / "t.jsonl"):
        for writer in ("play", "play --suite", "rollout"):
            with pytest.raises(InUse):
                WRITERS[writer](tmp_path / "t.jsonl")
    session(tmp_path / "t.jsonl")
    assert REPLY_LINES.wrote(b'{"episode":{"game":"2048"')
