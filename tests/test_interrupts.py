"""Ctrl-C at any command: once, twice, and while modules are imported, it leaves no traceback."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
slow, long, faults = pytest.mark.slow, pytest.mark.long, pytest.mark.faults
PATIENCE = 120

COMMANDS = {
    "games": ["games"],
    "show": ["show", "2048", "--contact", "-o", "sheet.png"],
    "check": ["check", "2048"],
    "card": ["card", "2048"],
    "gallery": ["gallery", "-o", "shown"],
    "bench": ["bench"],
    "play": ["play", "2048", "--terminal"],
    "report": ["report", "nothing"],
    "rollout": [
        "rollout",
        "--games",
        "2048",
        "--policy",
        "solver",
        "--episodes",
        "5000",
        "-o",
        "turns.jsonl",
    ],
    "rollout with workers": [
        *("rollout", "--games", "2048", "--policy", "solver", "--episodes", "5000"),
        *("--workers", "2", "-o", "more.jsonl"),
    ],
    "eval": ["eval", "--games", "2048", "--policy", "random", "--episodes", "2000", "-o", "run"],
    "data": ["data", "quickstart", "-o", "data", "--workers", "2"],
    "plan": ["plan", "quickstart"],
    "train": ["train", "quickstart", "-o", "train", "--num-processes", "1"],
    "train in processes": ["train", "quickstart", "-o", "trains", "--num-processes", "2"],
}
TRAINS = ("data", "plan", "train", "train in processes")


def begin(words: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vlm_gym.cli", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        cwd=folder,
    )


def started(process: subprocess.Popen[str]) -> None:
    """Wait until the command has taken Ctrl-C over from Python, whose own start nobody can keep quiet."""
    status, caught = Path(f"/proc/{process.pid}/status"), False
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        word = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        catches = bool(int(word.split()[1], 16) >> signal.SIGINT - 1 & 1)
        if caught and not catches:
            return
        caught = caught or catches
        time.sleep(0.001)


def interrupt(process: subprocess.Popen[str], times: int = 1, pause: float = 0.05) -> str:
    """Send Ctrl-C to a command and all that it has started, as a terminal does, and give what it said."""
    for number in range(times):
        if number:
            time.sleep(pause)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    try:
        _, words = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return words


def check_quiet(process: subprocess.Popen[str], words: str) -> None:
    assert "Traceback" not in words, words
    assert "KeyboardInterrupt" not in words, words
    # What was done before Ctrl-C came ends as it would have; the window of play is left by it.
    assert process.returncode in (128 + signal.SIGINT, -signal.SIGINT, 0, 2), words


@pytest.mark.parametrize("name", ["games", "rollout"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_command_ends_without_a_traceback(tmp_path, name, times):
    process = begin(COMMANDS[name], tmp_path)
    started(process)
    time.sleep(0 if name == "games" else 1)
    check_quiet(process, interrupt(process, times))


def test_the_second_ends_a_command_that_does_not_end_by_the_first(tmp_path):
    stubborn = """
import sys, time
sys.argv = ["vlm-gym", "games"]
import vlm_gym.cli as cli
def stay():
    try:
        print("there", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("putting away", flush=True)
        time.sleep(60)
cli.app = stay
cli.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for words in ("there\n", "putting away\n"):
        assert process.stdout.readline() == words
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT
    assert said == ""


def test_errors_that_libraries_make_of_it_are_not_shown(tmp_path):
    program = """
import sys, time
sys.argv = ["vlm-gym", "games"]
import vlm_gym.cli as cli
def stay():
    try:
        print("there", flush=True)
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise ImportError("a module was not initialized") from error
cli.app = stay
cli.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 128 + signal.SIGINT


def test_ctrl_c_in_code_that_suppresses_exceptions_ends_a_command_quietly():
    program = """
import signal, sys, time
sys.argv = ["vlm-gym", "games"]
import vlm_gym.cli as cli
class Gone:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # Python ignores what a finalizer raises
def stay():
    Gone()
    time.sleep(30)
cli.app = stay
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=25)
    assert done.stderr == ""
    assert done.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("moment", ["interrupts.came", "typer.secho"])
def test_a_command_interrupted_while_it_reports_an_error_shows_no_traceback(moment):
    program = f"""
import os, signal, sys
sys.argv = ["vlm-gym", "report", "nothing"]
import vlm_gym.cli as cli
whole = cli.{moment}
def interrupted(*given, **named):
    os.kill(os.getpid(), signal.SIGINT)
    return whole(*given, **named)
cli.{moment} = interrupted
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 128 + signal.SIGINT


def test_a_program_that_imports_the_package_keeps_its_own_way_with_it():
    program = (
        "import signal, vlm_gym.cli; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@slow
@long
@faults
@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_ends_without_a_traceback_at_any_moment(tmp_path, name):
    if name in TRAINS:
        pytest.importorskip("trl", reason="the extra `train` is not installed")
    chance = random.Random(name)
    for times in (1, 2):
        for most in (0.5, 1, 2, 12 if name in TRAINS else 3):
            process = begin(COMMANDS[name], tmp_path)
            started(process)
            time.sleep(chance.uniform(0, most))
            check_quiet(process, interrupt(process, times, chance.uniform(0, 0.3)))
