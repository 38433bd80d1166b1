"""The main job from end to end on a tiny recipe: what it leaves behind, and how it goes on after a stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from small_run import ALL, run, steps, write_recipe
from trainings import numbers
from vlm_gym.trainers.learners.checkpoints import checkpoints
from vlm_gym.trainers.models.transformers_policy import load_model as load_model
from vlm_gym.trainers.recipe import load_recipe

slow = pytest.mark.slow
pytestmark = pytest.mark.xdist_group("train")  # whose whole run is made once


@pytest.fixture(scope="module")
def config(talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), talker)


@pytest.fixture(scope="module")
def done(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from its beginning to its end."""
    return run(config, tmp_path_factory.mktemp("done"))


def without_epochs(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what a step is of all steps that are asked for."""
    return [{name: value for name, value in line.items() if name != "epoch"} for line in lines]


def results(out: Path) -> dict[str, Any]:
    """Read what was measured by policy, but for what the clock says; models go by their place in the run."""
    told = json.loads((out / "evaluation/greedy/results.json").read_text().replace(str(out), "RUN"))
    assert told["complete"]
    for each in told["policies"]:
        for part in (each["overall"], *each["games"].values(), *each["cells"]):
            part["numbers"].pop("seconds", None)
    return {each["policy"]: each for each in told["policies"]}


def test_a_run_leaves_all_that_was_asked_for(done):
    names = {path.name for path in done.iterdir()}
    assert names == {"run.json", "data", "cold_start", "grpo", "metrics.jsonl", "evaluation", "report.html"}
    assert steps(done) == ALL
    for stage in ("cold_start", "grpo"):
        load_model(done / stage / "model")
        assert [path.name for path in checkpoints(done / stage)] == ["checkpoint-4", "checkpoint-6"]
        files = {path.name for path in (done / stage / "model").iterdir()}
        assert not [name for name in files if name.startswith(("optimizer", "rng", "trainer", "training"))]


def test_a_run_knows_what_it_was_asked_for(done, config):
    told = json.loads((done / "run.json").read_text())
    assert told["recipe"] == load_recipe(config).resolved()
    assert told["recipe"]["seed"] == 0
    assert {"vlm-gym", "torch", "transformers", "trl"} <= told["versions"].keys()
    assert told["versions"]["torch"] == torch.__version__.partition("+")[0] or torch.__version__
    assert told["commands"] == ["vlm-gym train"]


def test_a_run_that_goes_on_with_other_versions_knows_those_that_it_had_before(done, config):
    path = done / "run.json"
    told = json.loads(path.read_text())
    now = {name: told[name] for name in ("versions", "python", "device")}
    first = {**now, "versions": {**now["versions"], "torch": "2.9.0"}}
    path.write_text(json.dumps({**told, **first}))
    for _ in range(2):  # the second time with the same ones
        run(config, done, resume=True)
        after = json.loads(path.read_text())
        assert after["earlier"] == [first]
        assert {name: after[name] for name in now} == now
    path.write_text(json.dumps(told))


def test_everybody_plays_at_the_end(done):
    models = {f"hf:RUN/{stage}/model" for stage in ("cold_start", "grpo")}
    assert results(done).keys() == {"random", "constant", "greedy", "solver", *models}
    assert all(each["games"].keys() == {"2048", "swap"} for each in results(done).values())


def test_the_report_holds_curves_and_models(done):
    page = (done / "report.html").read_text()
    for curve in ("grpo: reward", "grpo: loss", "cold_start: loss", "grpo: greedy/2048/legal"):
        assert f"<figcaption>{curve}" in page
    assert "grpo/<wbr>model" in page


def test_lines_tell_what_happens_by_game(done):
    for line in numbers(done, "grpo"):
        for game in ("2048", "swap"):
            told = {name.partition("/")[2] for name in line if name.startswith(f"{game}/")}
            assert told >= {"reward", "game", "format", "perception", "legal", "exact", "zero_advantage"}
    assert {"reward", "entropy", "clip_ratio/region_mean", "completions/mean_length"} <= line.keys()
    raw = json.loads((done / "metrics.jsonl").read_text().splitlines()[-1])
    spent = {"environment", "generation", "update", "share_of_environment"}
    assert {f"seconds/{name}" for name in spent} <= raw.keys()
    probed = [line["step"] for line in numbers(done, "grpo") if "greedy/swap/legal" in line]
    assert probed == [2, 4, 6]


def test_a_seed_fixes_the_curve_and_another_gives_another(done, config, tmp_path):
    again, other = run(config, tmp_path / "again"), run(config, tmp_path / "other", "seed=1")
    assert numbers(again) == numbers(done)
    assert results(again) == results(done)
    assert numbers(other) != numbers(done)


def test_rewards_differ_so_that_there_is_something_to_compare(done):
    assert len({line["reward"] for line in numbers(done, "grpo")}) > 3
    assert all(line["grad_norm"] > 0 for line in numbers(done, "grpo"))


def test_what_is_done_is_not_done_again(done, config):
    made = [path for path in done.rglob("*") if path.suffix in (".parquet", ".safetensors", ".pt")]
    before, told = [path.stat().st_mtime_ns for path in made], results(done)
    turns = {path: path.read_bytes() for path in done.rglob("*.jsonl")}
    run(config, done, resume=True)
    assert [path.stat().st_mtime_ns for path in made] == before
    assert {path: path.read_bytes() for path in done.rglob("*.jsonl")} == turns
    assert results(done) == told


def test_a_run_is_not_begun_twice_by_mistake(done, config):
    with pytest.raises(ValueError, match=r"holds a run already; go on with --resume, or choose another fold"):
        run(config, done)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("seed=1", r"recipe\.seed is 0 there and 1 here"),
        ("grpo.prompts_per_step=6", r"recipe\.grpo\.prompts_per_step is 4 there and 6 here"),
        ("cold_start.steps=8", r"recipe\.cold_start\.steps is 6 there and 8 here"),
        ("grpo.trl.learning_rate=1e-4", r"recipe\.grpo\.trl\.learning_rate is 0\.001 there and 0\.0001 here"),
        ("task.1.weight=1", r"recipe\.task\[1\]\.weight is 2\.0 there and 1\.0 here"),
    ],
)
def test_other_settings_are_refused_by_name(done, config, change, told):
    with pytest.raises(ValueError, match=f"was begun with other settings: {told}; choose another folder"):
        run(config, done, change, resume=True)
    assert json.loads((done / "run.json").read_text())["recipe"] == load_recipe(config).resolved()


def test_a_key_that_is_newer_than_a_run_has_its_default_there(done, config, tmp_path):
    older = tmp_path / "run"
    shutil.copytree(done, older)
    said = json.loads((older / "run.json").read_text())
    del said["recipe"]["grpo"]["greedy"]
    (older / "run.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"recipe\.grpo\.greedy is 0\.0 there and 0\.5 here"):
        run(config, older, "grpo.greedy=0.5", resume=True)
    run(config, older, resume=True)
    assert json.loads((older / "run.json").read_text())["recipe"]["grpo"]["greedy"] == 0
    said["recipe"]["grpo"]["gredy"] = 0.5
    (older / "run.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"begun by another vlm-gym: unknown key 'grpo\.gredy'"):
        run(config, older, resume=True)


def test_names_that_trl_does_not_know_leave_no_run_behind(config, tmp_path):
    with pytest.raises(ValueError, match=r"unknown key 'grpo\.trl\.temperatur' \(did you mean 'temperature'"):
        run(config, tmp_path / "run", "grpo.trl.temperatur=1.0")
    assert not (tmp_path / "run").exists()


def test_more_steps_go_on_as_if_they_had_been_asked_for_at_once(done, config, tmp_path):
    out = run(config, tmp_path, "grpo.steps=2", "evaluation.episodes=1")
    assert steps(out) == ALL[:8]
    played = results(out)
    run(config, out, "grpo.steps=6", "evaluation.episodes=1", resume=True)
    assert without_epochs(numbers(out)) == without_epochs(numbers(done))
    changed = {name for name, each in results(out).items() if each != played[name]}
    assert changed <= {"hf:RUN/grpo/model"}
    assert json.loads((out / "run.json").read_text())["recipe"]["grpo"]["steps"] == 6


@pytest.mark.slow
@pytest.mark.long
def test_fewer_steps_take_back_the_last_ones(config, tmp_path):
    out = run(config, tmp_path, "evaluation.episodes=1")
    run(config, out, "grpo.steps=4", "evaluation.episodes=1", resume=True)
    assert steps(out) == ALL[:10]
    assert json.loads((out / "grpo/model/config.json").read_text())
    assert [path.name for path in checkpoints(out / "grpo")] == ["checkpoint-4"]
    with pytest.raises(
        ValueError, match=r"grpo is 4 steps on, .* ask for that many with --set grpo\.steps=4"
    ):
        run(config, out, "grpo.steps=2", "evaluation.episodes=1", resume=True)
    assert [path.name for path in checkpoints(out / "grpo")] == ["checkpoint-4"]
    assert steps(out) == ALL[:10]


@slow
def test_evaluation_may_be_asked_for_otherwise_later(done, config, tmp_path):
    out = run(config, tmp_path, "evaluation.episodes=1", "grpo.steps=2")
    run(config, out, "evaluation.episodes=2", "evaluation.turns=2", "grpo.steps=2", resume=True)
    assert {each["overall"]["episodes"] for each in results(out).values()} == {4}
    assert steps(out) == ALL[:8]


@slow
@pytest.mark.parametrize("optimizer", ["muon", "muonclip"])
def test_optimizers_serve_both_stages(config, tmp_path, optimizer):
    changes = [f"{stage}.optimizer={optimizer}" for stage in ("cold_start", "grpo")]
    few = ["cold_start.steps=2", "grpo.steps=2", "grpo.save=1", "cold_start.save=1", "evaluation.episodes=1"]
    out = run(config, tmp_path, *changes, *few)
    assert steps(out) == [(stage, step) for stage in ("cold_start", "grpo") for step in (1, 2)]
    run(config, out, *changes, *few, "grpo.steps=3", resume=True)
    assert steps(out)[-1] == ("grpo", 3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, which only root can have."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of memory cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # files of models stay mapped


@slow
def test_a_disk_that_is_really_full_spares_the_last_checkpoint(done, config, disk):
    out = run(config, disk / "run", "grpo.steps=2", "evaluation.episodes=1")
    size = (out / "grpo/model/model.safetensors").stat().st_size
    more = ("grpo.steps=6", "evaluation.episodes=1")
    with (disk / "filler").open("wb") as filler:
        filler.write(bytes(shutil.disk_usage(disk).free - size))
    with pytest.raises(OSError, match=r"checkpoint-4 cannot be written to .*/grpo: .*checkpoint-2 is whole"):
        run(config, out, *more, resume=True)
    assert [path.name for path in checkpoints(out / "grpo")] == ["checkpoint-2"]
    (disk / "filler").unlink()
    run(config, out, *more, resume=True)
    assert without_epochs(numbers(out)) == without_epochs(numbers(done))


COMMAND = "from vlm_gym.cli import main; main()"
IN_A_CHECKPOINT = """
import os, signal
from vlm_gym.trainers.{module} import {name}
def killed(self, folder):
    if folder.name == "checkpoint-4":
        os.kill(os.getpid(), signal.SIGKILL)
{name}.save = killed
"""
IN_A_COPY = """
import os, shutil, signal
copy = shutil.copytree
def killed(*given, **options):
    copy(*given, **options)
    os.kill(os.getpid(), signal.SIGKILL)
shutil.copytree = killed
"""


def begin(config: Path, out: Path, *options: str, first: str = "") -> subprocess.Popen[str]:
    """Start the command in a process of its own; `first` is what is run in it before."""
    command = ["train", str(config), "-o", str(out), *options]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", first + COMMAND, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str], when: Callable[[], bool], how: int) -> None:
    """Send a signal as soon as something is so, and wait for the end."""
    while process.poll() is None and not when():
        time.sleep(0.005)
    process.send_signal(how)
    process.communicate()


def reached(out: Path, stage: str, step: int) -> Callable[[], bool]:
    def there() -> bool:
        with suppress(FileNotFoundError):  # a run without a checkpoint begins anew
            return f'"stage": "{stage}", "step": {step},' in (out / "metrics.jsonl").read_text()
        return False

    return there


def playing(out: Path) -> bool:
    return any((out / "evaluation").rglob("*.jsonl"))


@slow
@pytest.mark.long
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(done, config, tmp_path):
    moments: list[tuple[str, Callable[[], bool]]] = [
        ("", lambda: (tmp_path / "data/rows.parquet.part").exists()),
        ("", reached(tmp_path, "cold_start", 1)),
        ("", reached(tmp_path, "cold_start", 3)),
        (IN_A_CHECKPOINT.format(module="learners.checkpoints", name="Whole"), lambda: False),
        (IN_A_COPY, lambda: False),
        ("", reached(tmp_path, "grpo", 1)),
        ("", reached(tmp_path, "grpo", 3)),
        (IN_A_CHECKPOINT.format(module="learners.trl_learner", name="TrlLearner"), lambda: False),
        ("", lambda: playing(tmp_path)),
    ]
    seen, made = [], set()
    for number, (first, when) in enumerate(moments):
        process = begin(config, tmp_path, *(["--resume"] if number else []), first=first)
        stop(process, when, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        seen.append(len(numbers(tmp_path)) if (tmp_path / "metrics.jsonl").exists() else 0)
        rows = tmp_path / "data/rows.parquet"
        made |= {rows.stat().st_mtime_ns} if rows.exists() else set()
    last = begin(config, tmp_path, "--resume")
    said, words = last.communicate()
    assert last.returncode == 0, words
    # A run folder also has the model that training began with, in `model`.
    assert f"the trained model is in {tmp_path}/grpo/model" in said
    assert steps(tmp_path) == ALL
    assert len(set(seen)) > 5, seen  # it was stopped at as many places
    assert len(made) == 1
    assert numbers(tmp_path) == numbers(done)
    assert results(tmp_path) == results(done)


@slow
@pytest.mark.parametrize("stage", ["grpo", "evaluation"])
def test_control_c_ends_in_advice_and_the_run_goes_on(done, config, tmp_path, stage):
    process = begin(config, tmp_path)
    when = reached(tmp_path, "grpo", 2) if stage == "grpo" else lambda: playing(tmp_path)
    while process.poll() is None and not when():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130, words
    assert f"stopped; with --resume the same command goes on in {tmp_path}" in words
    assert "Traceback" not in words
    run(config, tmp_path, resume=True)
    assert numbers(tmp_path) == numbers(done)
