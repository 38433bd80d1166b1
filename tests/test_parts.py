"""Weights that are cut into parts, by ZeRO-3 and FSDP2: two processes learn as they do with whole ones."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from safetensors.torch import load_file
from test_processes import (
    ALL,
    BY_ACCELERATE,
    begin,
    config,
    curve,
    ended,
    long,
    run,
    slow,
    steps,
    two,
    without_gpu,
)

__all__ = ["config", "two"]  # fixtures
with_deepspeed = pytest.mark.skipif(not find_spec("deepspeed"), reason="DeepSpeed is not installed")

PLAYED = """
[evaluation]
episodes = 1
turns = 4
max_tokens = 16
temperatures = [0.0]
"""


@pytest.fixture(scope="module")
def cut(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the recipe, and whole games, with weights cut into two parts."""
    asked = config.with_name("played.toml")
    asked.write_text(config.read_text() + PLAYED)
    return run(asked, tmp_path_factory.mktemp("cut"), 2, "--accelerate", "zero3")


@slow
@long
@with_deepspeed
@pytest.mark.parametrize("stage", ["cold_start", "grpo"])
def test_zero3_has_the_curve_of_ddp_and_leaves_its_model(two, cut, stage):
    assert steps(cut) == ALL
    for name in ("loss", "grad_norm", "num_tokens"):
        assert curve(cut, stage, name) == pytest.approx(curve(two, stage, name), rel=1e-4)
    weights = [load_file(out / stage / "model/model.safetensors") for out in (two, cut)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)
    files = [{path.name for path in (out / stage / "model").iterdir()} for out in (two, cut)]
    assert files[0] == files[1]


@slow
@long
@with_deepspeed
def test_zero3_is_followed_by_whole_games(cut):
    played = {path.name for path in (cut / "evaluation/greedy").iterdir()}
    assert {"results.json", "random"} <= played
    assert (cut / "report.html").exists()


@slow
@long
@with_deepspeed
def test_zero3_goes_on_from_its_checkpoint(two, config, cut, tmp_path):
    more, outs = ("--set", "grpo.steps=6", "--resume"), []
    for before, how in ((two, "ddp"), (cut, "zero3")):
        outs.append(tmp_path / how)
        shutil.copytree(before, outs[-1])
        run(config, outs[-1], 2, "--accelerate", how, *more)
    assert steps(outs[1]) == [*ALL, ("grpo", 5), ("grpo", 6)]
    for name in ("loss", "grad_norm", "learning_rate"):
        assert curve(outs[1], "grpo", name) == pytest.approx(curve(outs[0], "grpo", name), rel=1e-4)


@slow
@long
@with_deepspeed
@pytest.mark.parametrize(
    ("processes", "how", "told"),
    [
        (1, "ddp", "checkpoint-4 was written with zero3 in 2 processes, and goes on so alone"),
        (2, "zero3", "checkpoint-4 was written without zero3, and goes on so alone"),
    ],
)
def test_zero3_and_the_others_do_not_go_on_from_one_another(two, config, cut, tmp_path, processes, how, told):
    shutil.copytree(two if how == "zero3" else cut, tmp_path / "run")
    options = ("--num-processes", str(processes), "--accelerate", how, "--set", "grpo.steps=6", "--resume")
    process = begin(config, tmp_path / "run", *options)
    words = ended(process)
    assert process.returncode == 2
    assert told in words
    assert steps(tmp_path / "run") == ALL


def parted(config: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Begin a run in two processes that cut the model up by FSDP2."""
    program = str(Path(__file__).with_name("fsdp_on_cpus.py"))
    command = [sys.executable, "-W", "ignore", "-m", "accelerate.commands.launch", *BY_ACCELERATE, program]
    return subprocess.Popen(
        [*command, "train", str(config), "-o", str(out), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@slow
@long
@without_gpu
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_fsdp2_has_the_curve_of_ddp_and_leaves_its_model(config, tmp_path, optimizer):
    chosen = ("--set", f"cold_start.optimizer={optimizer}", "--set", f"grpo.optimizer={optimizer}")
    whole = run(config, tmp_path / "whole", 2, *chosen)
    process = parted(config, tmp_path / "parts", *chosen)
    words = ended(process)
    assert process.returncode == 0, words
    assert steps(tmp_path / "parts") == ALL
    for stage in ("cold_start", "grpo"):
        assert (
            tmp_path / "parts" / stage / "checkpoint-4/pytorch_model_fsdp.bin"
        ).exists() or stage == "cold_start"
        for name in ("loss", "grad_norm", "num_tokens"):
            assert curve(tmp_path / "parts", stage, name) == pytest.approx(
                curve(whole, stage, name), rel=1e-3
            )
        folders = [out / stage / "model" for out in (whole, tmp_path / "parts")]
        assert len({frozenset(path.name for path in folder.iterdir()) for folder in folders}) == 1
        weights = [load_file(folder / "model.safetensors") for folder in folders]
        for name, value in weights[0].items():
            torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)
    words = ended(begin(config, tmp_path / "parts", *chosen, "--set", "grpo.steps=6", "--resume"))
    assert "checkpoint-4 was written with fsdp2, and goes on so alone" in words
