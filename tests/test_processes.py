"""Several processes of one run: what they learn together, who writes, and what ends them. Two, by gloo."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import LENGTH
from trainings import TASKS, begin, started
from vlm_gym.trainers import launch, settings
from vlm_gym.trainers.learners.checkpoints import checkpoints
from vlm_gym.trainers.models.transformers_policy import load_model as load_model
from vlm_gym.trainers.recipe import load_recipe
from vlm_gym.trainers.tracking import METRICS

slow, long = pytest.mark.slow, pytest.mark.long
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="told of CPUs")
in_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")

TEXT = f"""
threads = 1
{TASKS}
[model]
path = "MODEL"

[data]
rows = 24

[cold_start]
batch = 4
steps = 6
save = 3
trl = {{ learning_rate = 1e-4 }}

[grpo]
steps = 4
prompts_per_step = 4
save = 2
episodes = 2
reward = "progress"
anchor = {{ weight = 0.5 }}
shares = {{ walk = 0.5, on_policy = 0.5 }}

[grpo.trl]
num_generations = 4
max_completion_length = {LENGTH}
learning_rate = 1e-4
top_k = 1
"""
"""With the likeliest token alone, replies do not depend on the dice of a process. Those of a group are equal,
so that there are no advantages to compare: `scripted` has groups with a difference."""
PATIENCE = 400
"""Seconds that a command may take on a busy machine."""


@pytest.fixture(scope="module")
def config(talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "small.toml").write_text(TEXT.replace("MODEL", str(talker)))
    return folder / "small.toml"


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for a command to end, and give what it wrote on standard error. One that hangs fails the test."""
    try:
        return process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def run(config: Path, out: Path, processes: int, *options: str) -> Path:
    return go(config, out, "--num-processes", str(processes), *options)


def go(config: Path, out: Path, *options: str) -> Path:
    process = begin(config, out, *options)
    words = ended(process)
    assert process.returncode == 0, words
    assert not re.search(r"warning|\[transformers\]|Generating", words, re.I), words
    return out


@pytest.fixture(scope="module")
def one(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(config, tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def two(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes because the recipe says so."""
    return go(config, tmp_path_factory.mktemp("two"), "--set", "processes=2")


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


def curve(out: Path, stage: str, name: str) -> list[float]:
    return [line[name] for line in metrics(out) if line["stage"] == stage]


def steps(out: Path) -> list[tuple[str, int]]:
    return [(line["stage"], line["step"]) for line in metrics(out)]


BY_ACCELERATE = (
    "--config_file",
    str(launch.shipped_accelerate()["ddp"]),
    "--num_processes",
    "2",
    "--main_process_port",
    "0",
)
"""Options of `accelerate launch`: two processes at a free port."""
ALL = [("cold_start", step) for step in range(1, 7)] + [("grpo", step) for step in range(1, 5)]


@slow
def test_two_processes_write_what_one_writes(one, two):
    assert steps(one) == steps(two) == ALL
    assert json.loads((two / "run.json").read_text())["processes"] == 2
    for stage in ("cold_start", "grpo"):
        names = [{path.name for path in checkpoints(out / stage)[-1].iterdir()} for out in (one, two)]
        assert names[1] - names[0] == {"rng_state_0.pth", "rng_state_1.pth"}
        load_model(two / stage / "model")


@slow
@pytest.mark.parametrize("name", ["loss", "grad_norm", "mean_token_accuracy", "num_tokens"])
def test_a_cold_start_in_two_processes_has_the_curve_of_one(one, two, name):
    assert curve(two, "cold_start", name) == pytest.approx(curve(one, "cold_start", name), rel=1e-3)


@slow
@pytest.mark.parametrize(
    "name", ["reward", "anchor_loss", "grad_norm", "entropy", "num_tokens", "2048/reward", "swap/legal"]
)
def test_grpo_in_two_processes_has_the_curve_of_one(one, two, name):
    assert curve(two, "grpo", name) == pytest.approx(curve(one, "grpo", name), rel=1e-2, abs=1e-3)


@slow
def test_two_processes_share_whole_games_and_show_the_bars_of_one(config, one, tmp_path):
    asked = [f"evaluation.{name}" for name in ("episodes=3", "turns=2", "max_tokens=8", "temperatures=[0,1]")]
    words, found = {}, {}
    for processes in (1, 2):
        out = shutil.copytree(one, tmp_path / str(processes))
        options = [word for change in asked for word in ("--set", change)]
        process = begin(config, out, "--num-processes", str(processes), "--resume", *options)
        words[processes] = ended(process)
        assert process.returncode == 0, words[processes]
        for place in ("greedy", "temperature-1"):
            policies = json.loads((out / "evaluation" / place / "results.json").read_text())["policies"]
            found[processes, place] = [
                (row["policy"].removeprefix(f"hf:{out}"), row["games"]["2048"]["numbers"]["return"])
                for row in policies
            ]
    for place in ("greedy", "temperature-1"):
        assert found[1, place] == found[2, place]
        assert len(found[1, place]) == 6
    bars = {count: text.count("judging random") for count, text in words.items()}
    assert bars[1] == 2 * bars[2] > 0


def scripted(talker: Path, out: Path, processes: int) -> dict[str, Any]:
    """Learn from replies that are written by hand, and tell what came of each way to do so."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    program = Path(__file__).with_name("scripted.py")
    process = started(*launcher, str(program), str(talker), str(out))
    words = ended(process)
    assert process.returncode == 0, words
    told: dict[str, Any] = json.loads((out / "told.json").read_text())
    return told


@slow
@long
def test_groups_are_compared_in_two_processes_as_in_one(talker, tmp_path_factory):
    one, two = (scripted(talker, tmp_path_factory.mktemp("scripted"), count) for count in (1, 2))
    assert one.keys() == two.keys()
    assert len(one) == 4 * 3 + 3
    for way, alone in one.items():
        for name, told in alone.items():
            assert flat(two[way][name]) == pytest.approx(flat(told), rel=1e-3, abs=1e-5), (way, name)
        ends = [[reply[-1] for reply in group] for step in alone["advantages"] for group in step]
        assert all(len(set(group)) > 1 for group in ends), way  # else nothing would be compared


def flat(told: Any) -> list[float]:
    """List all numbers in lists of lists."""
    return [number for each in told for number in flat(each)] if isinstance(told, list) else [told]


@slow
def test_the_policy_meets_the_same_positions_of_its_own(one, two):
    own = [json.loads((out / "grpo/checkpoint-2/own.json").read_text())["lanes"] for out in (one, two)]
    assert own[0] == own[1]
    assert all(any(number >= len(lanes) or turns for number, _, turns, *_ in lanes) for lanes in own[0])


@slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_run_goes_on_in_another_number_of_processes(config, one, two, tmp_path, first, then):
    out = tmp_path / "run"
    shutil.copytree(two if first == 2 else one, out)
    run(config, out, then, "--set", "grpo.steps=6", "--resume")  # whatever the recipe says
    assert steps(out) == [*ALL, ("grpo", 5), ("grpo", 6)]
    assert metrics(out)[: len(ALL)] == metrics(two if first == 2 else one)


ECHO = """
from accelerate import Accelerator
from trl.generation.vllm_generation import VLLMGeneration
from vlm_gym.trainers.distributed import shared, together

class Client:
    def generate(self, prompts, **options):
        return {"prompt_ids": prompts, "completion_ids": prompts, "logprobs": None}

class Echo(VLLMGeneration):
    def _init_vllm(self):
        self.vllm_client = Client()

def work(items):
    replies = echo.generate([[item] for item in items], None, 1)[1]
    return [reply for (reply,) in replies]

with together() as processes:
    echo = Echo(None, Accelerator(cpu=True), None, mode="server")
    for count in range(1, 6):
        replies = shared(range(count), work)
        assert replies == list(range(count)), (processes.process_index, count, replies)
"""
"""Requests of any number, shared by processes, go by TRL's way to a server that repeats what it is asked."""


@slow
def test_each_request_gets_its_own_reply_from_a_server_however_they_are_shared(tmp_path):
    (tmp_path / "echo.py").write_text(ECHO)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *launcher, str(tmp_path / "echo.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def ranks(launcher: int) -> list[int]:
    """List the processes that a launcher has started, by their rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            told = dict(line.partition("=")[::2] for line in (place / "environ").read_text().split("\0"))
        except (OSError, ValueError):  # it has ended meanwhile, or is another's
            continue
        if parent == launcher and "RANK" in told:
            found[int(told["RANK"])] = int(place.name)
    return [found[rank] for rank in sorted(found)]


def lives(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(processes: list[int], seconds: float = 20) -> bool:
    """Wait for processes to end."""
    until = time.monotonic() + seconds
    while any(map(lives, processes)):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def reached(process: subprocess.Popen[str], out: Path, lines: int = 4) -> None:
    """Wait until a run has taken so many steps; after the fourth there is a checkpoint."""
    path, until = out / METRICS, time.monotonic() + PATIENCE
    while not (path.exists() and len(path.read_text().splitlines()) >= lines):
        assert process.poll() is None, ended(process)
        if time.monotonic() > until:
            process.kill()
            raise TimeoutError(f"no step {lines} in {PATIENCE} seconds")
        time.sleep(0.01)


def halfway(config: Path, out: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Begin a run in two processes, and give its launcher and them once there is a checkpoint, and a step."""
    process = begin(config, out, "--num-processes", "2")
    reached(process, out)
    started = ranks(process.pid)
    assert len(started) == 2
    return process, started


@slow
@in_proc
def test_a_process_that_is_killed_ends_the_other_and_the_command_says_so(config, tmp_path):
    process, started = halfway(config, tmp_path)
    os.kill(started[1], signal.SIGKILL)
    words = ended(process)
    assert gone(started)
    assert process.returncode == 2, words
    assert words.splitlines()[-1] == "vlm-gym: a process was ended by signal 9; --resume goes on"
    assert words.count("vlm-gym:") == 1


@slow
@long
@in_proc
def test_a_run_that_is_interrupted_ends_in_one_line(config, tmp_path):
    process, started = halfway(config, tmp_path)
    process.send_signal(signal.SIGINT)
    words = ended(process)
    assert gone(started)
    assert process.returncode == 130, words
    assert words.splitlines()[-1] == f"stopped; with --resume the same command goes on in {tmp_path}"
    assert "Traceback" not in words


@slow
@long
@in_proc
def test_processes_end_with_a_launcher_that_is_killed_and_the_run_goes_on(config, one, tmp_path):
    process, started = halfway(config, tmp_path)
    process.kill()
    ended(process)
    assert gone(started)
    run(config, tmp_path, 2, "--resume")
    assert steps(tmp_path) == ALL
    assert curve(tmp_path, "cold_start", "loss") == pytest.approx(curve(one, "cold_start", "loss"), rel=1e-3)


@slow
@long
def test_accelerate_may_start_the_processes_as_well(config, tmp_path):
    process = begin(
        config,
        tmp_path,
        "--set",
        "grpo.steps=1",
        through=("accelerate.commands.launch", *BY_ACCELERATE, "-m"),
    )
    words = ended(process)
    assert process.returncode == 0, words
    assert steps(tmp_path) == ALL[:7]


@slow
def test_a_mistake_is_told_once_and_leaves_nothing_behind(config, tmp_path):
    process = begin(config, tmp_path / "run", "--num-processes", "2", "--set", "grpo.prompts_per_step=5")
    words = ended(process)
    assert process.returncode == 2
    assert "grpo.prompts_per_step=5 do not go into 2 processes: a group would be split" in words
    assert words.count("vlm-gym:") == 1
    assert "Traceback" not in words
    assert not (tmp_path / "run").exists()


def test_a_step_that_does_not_divide_is_refused_by_its_numbers(config, tmp_path):
    with pytest.raises(ValueError, match=r"cold_start\.batch=4 does not divide into 3 processes"):
        settings.cold_start(load_recipe(config), tmp_path, 3)
    assert settings.cold_start(load_recipe(config), tmp_path, 2).per_device_train_batch_size == 2
    assert settings.grpo(load_recipe(config), tmp_path, 2).per_device_train_batch_size == 8


@without_gpu
@pytest.mark.parametrize(
    ("how", "told"),
    [("fsdp2", "is FSDP, which takes GPUs"), ("fdsp", r"no configuration .* one of ddp, fsdp2, zero3")],
)
def test_what_cannot_be_started_is_told_before(how, told):
    with pytest.raises(ValueError, match=told):
        launch.launch(["train"], 2, how)
