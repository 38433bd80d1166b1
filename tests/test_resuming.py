"""A stage that is resumed goes on exactly: every family, optimizer and kind of weights, step by step."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    PrinterCallback,
    Qwen2VLConfig,
)
from vlm_gym.trainers.cold_start import Imitation
from vlm_gym.trainers.data.parquet import make
from vlm_gym.trainers.grpo import Grouped
from vlm_gym.trainers.models.families import FAMILIES
from vlm_gym.trainers.models.prepare import ready
from vlm_gym.trainers.models.tiny import build
from vlm_gym.trainers.models.tiny_families import TINY
from vlm_gym.trainers.recipe import ColdStart, Data, Grpo, Model, Recipe, Shares, Task
from vlm_gym.trainers.stages import settings
from vlm_gym.trainers.stages.checkpoints import Whole
from vlm_gym.trainers.train import _optimizer

TASK = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=4)
LENGTH = 8
LORA = Model(lora={"r": 4, "lora_alpha": 8})
BASES = [*TINY, "qwen2_vl"]
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
            states=2,
            save=2,
            episodes=2,
            optimizer=optimizer,
            sight=1.0,  # a loss that is there even where all replies of a group earn the same
            shares=Shares(walk=0.5, own=0.5),
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
    return make(recipe(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build the tiny model of a family when it is first asked for."""
    return cache(lambda family: base(family, tmp_path_factory.mktemp(family)))


def base(family: str, folder: Path) -> Path:
    """Build the tiny model of a family. That of Qwen2-VL is built here: the package has none."""
    kind = "qwen2_5_vl" if family == "qwen2_vl" else family
    build(folder, [("2048", "0")], width=64, depth=1, family=kind, side=64)
    if family == "qwen2_vl":
        make_qwen2_vl(folder)
    return folder


def make_qwen2_vl(folder: Path) -> None:
    """Put a model of Qwen2-VL in the place of one of Qwen2.5-VL, whose tokens and pictures are the same."""
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
        made = Imitation(model, processor, args, data, **options)
        made.optimizing = _optimizer(asked.cold_start.optimizer, args)
    else:
        assert asked.grpo is not None
        args = settings.grpo(asked, out)
        made = Grouped(asked, model, processor, args, **options)
        made.optimizing = _optimizer(asked.grpo.optimizer, args)
    made.remove_callback(PrinterCallback)
    return made


def lines(made: Whole) -> list[dict[str, float]]:
    """List what was logged of every step, but for what the clock says."""
    return [
        {name: value for name, value in line.items() if not name.startswith(("seconds", "step_time"))}
        for line in made.state.log_history
        if "loss" in line
    ]


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


@pytest.mark.parametrize("stage", ["cold_start", "grpo"])
@pytest.mark.parametrize("kind", ["whole", "lora"])
@pytest.mark.parametrize("family", BASES)
def test_every_family_goes_on_exactly(bases, data, tmp_path, family, kind, stage):
    check_exact(stage, bases(family), tmp_path, data, recipe(model=KINDS[kind]))
