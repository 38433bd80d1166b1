"""Runs of one stage alone: where they begin, what they leave behind, and what they show on a terminal."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from test_train import config, results, run, steps
from vlm_gym.trainers.learners.checkpoints import checkpoints
from vlm_gym.trainers.models.transformers_policy import load_model as load_model
from vlm_gym.trainers.recipe import load_recipe

from vlm_gym.rollouts.baselines import PLAYERS

__all__ = ["config"]  # a fixture

TINY = """
[model]
path = "tiny"
width = 64
depth = 1
[[task]]
game = "2048"
reasoning = "0"
perception = "level=0,size=64"
"""


def test_grpo_alone_starts_from_a_model_that_is_built_for_the_run(tmp_path):
    config = tmp_path / "alone.toml"
    trl = "{num_generations = 2, max_completion_length = 8}"
    config.write_text(f"{TINY}[grpo]\nsteps = 2\nprompts_per_step = 2\nsave = 1\ntrl = {trl}\n")
    out = run(config, tmp_path / "run")
    assert steps(out) == [("grpo", 1), ("grpo", 2)]
    assert {path.name for path in out.iterdir()} == {
        "run.json",
        "model",
        "grpo",
        "metrics.jsonl",
        "report.html",
    }
    assert load_model(out / "grpo/model")[0].config.text_config.hidden_size == 64


G0 = f"""{TINY}
[grpo]
steps = 2
prompts_per_step = 2
save = 1
trl = {{num_generations = 2, max_completion_length = 8}}
[evaluation]
episodes = 1
turns = 4
temperatures = [0.0]
max_tokens = 8
"""


@pytest.fixture(scope="module")
def g0(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of GRPO alone, and what it shows on a terminal."""
    folder = tmp_path_factory.mktemp("g0")
    (folder / "g0.toml").write_text(G0)
    with on_a_terminal() as shown:
        out = run(folder / "g0.toml", folder / "run")
    return out, b"".join(shown).decode()


@contextmanager
def on_a_terminal() -> Iterator[list[bytes]]:
    """Take a terminal for standard error, and gather what is written to it."""
    above, below = os.openpty()
    shown: list[bytes] = []

    def gather() -> None:
        with suppress(OSError):  # as terminals end
            while words := os.read(above, 4096):
                shown.append(words)

    reader = Thread(target=gather)
    reader.start()
    with pytest.MonkeyPatch.context() as patch, os.fdopen(below, "w") as terminal:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stderr", terminal)
        yield shown
    reader.join()
    os.close(above)


def test_bars_of_training_are_gone_when_those_of_whole_games_come(g0):
    _, shown = g0
    bar = re.compile(r"^(\x1b\[[0-9;]*[A-Za-z])*(\w+) +\x1b", re.MULTILINE)
    names = [found[2] for found in bar.finditer(shown.replace("\r", "\n"))]
    players = [name for name in names if name in PLAYERS]  # a quick one can be done before it is drawn
    assert "grpo" in names
    assert players
    assert "grpo" not in names[names.index(players[0]) :]


def test_without_a_cold_start_the_model_that_grpo_starts_from_plays_too(g0):
    out, _ = g0
    models = [name for name in results(out) if name.startswith("hf:")]
    assert models == ["hf:RUN/model", "hf:RUN/grpo/model"]


def test_a_cold_start_alone_ends_in_a_model_and_curves(tmp_path):
    config = tmp_path / "alone.toml"
    config.write_text(f"{TINY}[data]\nrows = 4\n[cold_start]\nbatch = 2\nsave = 1\n")
    out = run(config, tmp_path / "run")
    assert steps(out) == [("cold_start", 1), ("cold_start", 2)]
    assert "cold_start: mean_token_accuracy" in (out / "report.html").read_text()
    assert (out / "cold_start/model/model.safetensors").exists()


def test_what_failed_before_it_learnt_anything_may_be_asked_for_otherwise(tmp_path):
    pytest.importorskip("openai")
    config, out = tmp_path / "mended.toml", tmp_path / "run"
    config.write_text(f"{TINY}[data]\nrows = 4\n[cold_start]\nbatch = 2\nsteps = 2\nsave = 2\n")
    nobody = '{base_url = "http://127.0.0.1:1", retries = 0}'
    with pytest.raises(ConnectionError, match="openai:m gave no reply"):
        run(config, out, "data.teacher=openai:m", f"data.options={nobody}", "model.width=128")
    (out / "metrics.jsonl").write_text('{"stage": "grpo", "step": 1, "loss": 0.0}\n')  # of another recipe
    run(config, out)
    assert steps(out) == [("cold_start", 1), ("cold_start", 2)]
    assert load_model(out / "model")[0].config.text_config.hidden_size == 64
    assert json.loads((out / "run.json").read_text())["recipe"] == load_recipe(config).resolved()
    with pytest.raises(ValueError, match="holds a run already"):
        run(config, out)
    with pytest.raises(ValueError, match="begun with other settings"):
        run(config, out, "data.rows=5", resume=True)


def test_a_model_of_half_precision_learns_in_float32_and_is_saved_in_half(config, tmp_path):
    folder = tmp_path / "half"
    model, processor = load_model(load_recipe(config).model.path)
    model.bfloat16().save_pretrained(folder)
    processor.save_pretrained(folder)
    few = [
        "cold_start.steps=2",
        "grpo.steps=1",
        "grpo.save=1",
        "grpo.shares.on_policy=0",
        "evaluation.episodes=1",
    ]
    out = run(config, tmp_path / "run", f"model.path={folder}", *few)
    assert "hf:RUN/grpo/model" in results(out)
    for stage in ("cold_start", "grpo"):
        learnt = load_model(checkpoints(out / stage)[-1])[0]
        saved = load_model(out / stage / "model")[0]
        assert (learnt.dtype, saved.dtype) == (torch.float32, torch.bfloat16)
        for mine, theirs in zip(saved.parameters(), learnt.parameters(), strict=True):
            assert torch.equal(mine, theirs.bfloat16())
        weights = [path.stat().st_size for path in (out / stage / "model").glob("*.safetensors")]
        assert len(weights) == 1
        assert weights[0] < 0.6 * (checkpoints(out / stage)[-1] / "model.safetensors").stat().st_size
