"""A stage that is resumed goes on exactly: every family, optimizer and kind of weights, step by step."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from trainings import numbers, without_clock
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    PrinterCallback,
    Qwen2VLConfig,
)
from vlm_gym.trainers import launch, settings
from vlm_gym.trainers.cold_start import ColdStartTrainer
from vlm_gym.trainers.data.parquet import make_rows
from vlm_gym.trainers.learners.checkpoints import Whole
from vlm_gym.trainers.models.families import FAMILIES
from vlm_gym.trainers.models.prepare import finish_checkpoint, ready
from vlm_gym.trainers.models.restoring import restore_weights
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.tiny_families import TINY_PARTS
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.recipe import Anchor, ColdStart, Data, Grpo, Model, Recipe, Shares, Task
from vlm_gym.trainers.train import _optimizer, reinforce, train

from vlm_gym.registry import find

slow, long = pytest.mark.slow, pytest.mark.long
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="told of CPUs")
with_deepspeed = pytest.mark.skipif(not find_spec("deepspeed"), reason="DeepSpeed is not installed")
TASK = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=4)
LENGTH = 8
LORA = Model(lora={"r": 4, "lora_alpha": 8})
BASES = [*TINY_PARTS, "qwen2_vl"]
assert set(BASES) == set(FAMILIES)
KINDS = {
    "whole": Model(),
    "lora": LORA,
    "frozen": Model(vision="frozen"),
    "bfloat16": Model(dtype="bfloat16"),
}


def recipe(optimizer: str = "adamw", model: Model | None = None, steps: int = 3) -> Recipe:
    replies = {"num_generations": 2, "max_completion_length": LENGTH, "learning_rate": 1e-2}
    return Recipe(
        model=model or Model(),
        threads=1,
        task=(TASK,),
        data=Data(rows=6, shares=Shares(walk=1.0)),
        cold_start=ColdStart(batch=2, steps=3, save=2, optimizer=optimizer, trl={"learning_rate": 1e-2}),
        grpo=Grpo(
            steps=steps,
            prompts_per_step=2,
            save=2,
            episodes=2,
            optimizer=optimizer,
            anchor=Anchor(weight=1.0),  # a loss that is there even where all replies of a group earn the same
            shares=Shares(walk=0.5, on_policy=0.5),
            trl=replies,
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rows(recipe(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build the tiny model of a family when it is first asked for."""
    return cache(lambda family: base(family, tmp_path_factory.mktemp(family)))


def base(family: str, folder: Path) -> Path:
    """Build the tiny model of a family. That of Qwen2-VL is built here: the package has none."""
    kind = "qwen2_5_vl" if family == "qwen2_vl" else family
    build_model(folder, [("2048", "0")], width=64, depth=1, family=kind, side=64)
    if family == "qwen2_vl":
        make_qwen2_vl(folder)
    return folder


def make_qwen2_vl(folder: Path) -> None:
    """Replace a model of Qwen2.5-VL by one of Qwen2-VL, whose tokens and pictures are the same."""
    newer = AutoConfig.from_pretrained(folder)
    tokens = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    tower = {"depth": 1, "embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2, "num_heads": 1, "patch_size": 16}
    text = {
        name: value
        for name, value in newer.text_config.to_dict().items()
        if name not in ("model_type", "architectures", "dtype", "transformers_version")
    }
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={**tower, "spatial_merge_size": 2},
        tie_word_embeddings=True,
        **{name: getattr(newer, name) for name in tokens},
    )
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model.save_pretrained(folder)


def trainer(stage: str, base: Path, out: Path, data: Path, asked: Recipe) -> Whole:
    model, processor, options = ready(asked.model, base)
    made: Whole
    if stage == "cold_start":
        assert asked.cold_start is not None
        args = settings.cold_start(asked, out)
        made = ColdStartTrainer(model, processor, args, data, **options)
        made.optimizing = _optimizer(asked.cold_start.optimizer, args)
    else:
        assert asked.grpo is not None
        args = settings.grpo(asked, out)
        made = reinforce(asked, model, processor, args, **options)
        made.optimizing = _optimizer(asked.grpo.optimizer, args)
    made.remove_callback(PrinterCallback)
    return made


def lines(made: Whole) -> list[dict[str, float]]:
    """List what was logged of every step, but for what the clock says."""
    return [without_clock(line) for line in made.state.log_history if "loss" in line]


def check_exact(stage: str, base: Path, out: Path, data: Path, asked: Recipe) -> Whole:
    """Train three steps; then the third again from the checkpoint of the second, and compare."""
    whole = trainer(stage, base, out, data, asked)
    whole.go_on(None)
    again = trainer(stage, base, out, data, asked)
    again.go_on(out / "checkpoint-2")
    assert len(lines(whole)) == 3
    assert lines(again) == lines(whole)
    assert len({line["loss"] for line in lines(whole)}) == 3
    before, after = whole.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(after[name], weights) for name, weights in before.items())
    return again


QUICK = {("cold_start", "whole"), ("grpo", "whole", "llava"), ("cold_start", "lora", "llava")}
"""What the default suite tests: families once, and LLaVA, whose checkpoints have other names, in full."""
ALIKE = ("smolvlm", "qwen2_vl")
"""Families whose names and conversions are those of Idefics 3 and of Qwen2.5-VL."""


def cases() -> Iterator[Any]:
    for family in BASES:
        for kind in ("whole", "lora"):
            for stage in ("cold_start", "grpo"):
                quick = ((stage, kind) in QUICK and family not in ALIKE) or (stage, kind, family) in QUICK
                yield pytest.param(family, kind, stage, marks=[] if quick else [slow, long])


@pytest.mark.parametrize(("family", "kind", "stage"), list(cases()))
def test_every_family_goes_on_exactly(bases, data, tmp_path, family, kind, stage):
    check_exact(stage, bases(family), tmp_path, data, recipe(model=KINDS[kind]))


@slow
@long
@pytest.mark.parametrize("stage", ["cold_start", "grpo"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "muonclip"])
@pytest.mark.parametrize("kind", ["whole", "frozen", "bfloat16"])
def test_every_optimizer_goes_on_exactly(bases, data, tmp_path, optimizer, kind, stage):
    check_exact(stage, bases("llava"), tmp_path, data, recipe(optimizer, KINDS[kind]))


@slow
@long
@pytest.mark.parametrize("kind", ["whole", "lora"])
@pytest.mark.parametrize("family", BASES)
def test_the_model_that_a_stage_leaves_has_the_logits_of_the_one_that_learnt(
    bases, data, tmp_path, family, kind
):
    asked = recipe(model=KINDS[kind])
    made = trainer("cold_start", bases(family), tmp_path, data, asked)
    made.go_on(None)
    learnt = made.model.eval()
    if kind == "lora":
        learnt = learnt.merge_and_unload()
    left = tmp_path / "checkpoint-3"
    finish_checkpoint(left, bases(family))
    model, processor = load_model(left)
    inputs = encode_requests(processor, [TASK.request(find("2048").start(1, TASK.knobs))])
    with torch.no_grad():
        assert torch.equal(model.eval()(**inputs).logits, learnt(**inputs).logits)


def test_a_checkpoint_in_shards_is_loaded_by_name(bases, tmp_path):
    start = load_model(bases("llava"))[0]
    start.save_pretrained(tmp_path, max_shard_size="100kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    other = load_model(bases("llava"))[0]
    with torch.no_grad():
        for weights in other.parameters():
            weights.zero_()
    restore_weights(other, tmp_path)
    assert all(torch.equal(weights, start.state_dict()[name]) for name, weights in other.state_dict().items())


def in_processes(how: str, out: Path, *options: str) -> dict[str, Any]:
    """Resume all families in two processes, and give what was logged."""
    config = launch.shipped_accelerate()["zero3" if how == "zero3" else "ddp"]
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2"]
    program = str(Path(__file__).with_name("resuming_in_processes.py"))
    done = subprocess.run(
        [sys.executable, *launcher, "--main_process_port", "0", program, how, str(out), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    told: dict[str, Any] = json.loads((out / "told.json").read_text())
    return told


@slow
@long
@without_gpu
@pytest.mark.parametrize("how", ["ddp", "fsdp2", pytest.param("zero3", marks=with_deepspeed)])
def test_every_family_goes_on_exactly_in_two_processes(tmp_path, how):
    optimizers = "adamw" if how == "zero3" else "adamw,muon,muonclip"
    out = tmp_path / "[exp] a*b?"  # what DeepSpeed would read as a pattern
    out.mkdir()
    told = in_processes(how, out, "whole,lora", optimizers)
    assert {name.partition("-")[0] for name in told} == set(BASES)
    for name, each in told.items():
        assert each["again"] == each["whole"], name
        assert len(each["whole"]) == 3


def metrics(out: Path) -> list[dict[str, Any]]:
    """Read the lines of a run, but for what the clock says and what a step is of all that are asked for."""
    return [{name: value for name, value in line.items() if name != "epoch"} for line in numbers(out)]


@slow
@pytest.mark.parametrize(
    "family", ["llava", pytest.param("gemma3", marks=long), pytest.param("qwen2_5_vl", marks=long)]
)
def test_more_steps_of_a_whole_run_go_on_exactly(tmp_path, family):
    constant = {"lr_scheduler_type": "constant"}
    model = Model(family=family, width=64, depth=1)

    def asked(steps: int) -> Recipe:
        made = recipe(model=model, steps=steps)
        return replace(made, grpo=replace(made.grpo, trl={**made.grpo.trl, **constant}))

    train(asked(4), tmp_path / "once")
    train(asked(2), tmp_path / "twice")
    train(asked(4), tmp_path / "twice", resume=True)
    assert metrics(tmp_path / "twice") == metrics(tmp_path / "once")
    weights = [load_model(tmp_path / name / "grpo/model")[0].state_dict() for name in ("once", "twice")]
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())
