"""A run that fails on the way, by a NaN loss or a full disk, and what its stages leave in memory."""

import gc
import resource
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from small_run import ALL, run, steps, write_recipe
from vlm_gym.trainers import train as main
from vlm_gym.trainers.learners.checkpoints import Whole, checkpoints
from vlm_gym.trainers.models.transformers_policy import load_model as load_model

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def config(talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), talker)


def test_a_stage_leaves_no_weights_and_no_optimizer_in_memory(config, tmp_path, monkeypatch):
    held, seen = list[Callable[[], Any]](), list[tuple[int, int]]()
    go_on, prepare, measure = Whole.go_on, main.ready, main._measure

    def noted(trainer: Whole, checkpoint: Path | None) -> None:
        go_on(trainer, checkpoint)
        held.extend(
            map(weakref.ref, (trainer, trainer.model, trainer.optimizer, trainer.optimizer.optimizer))
        )

    def look(then: Callable[..., Any]) -> Callable[..., Any]:
        def looking(*given: Any) -> Any:
            seen.append((len(held), sum(each() is not None for each in held)))
            return then(*given)

        return looking

    monkeypatch.setattr(Whole, "go_on", noted)
    monkeypatch.setattr(main, "ready", look(prepare))
    monkeypatch.setattr(main, "_measure", look(measure))
    gc.disable()  # or a collection may come by chance
    try:
        few = ("cold_start.steps=2", "grpo.steps=2", "evaluation.episodes=1")
        run(config, tmp_path, *few)
    finally:
        gc.enable()
    assert seen == [(0, 0), (4, 0), (8, 0)]  # before the cold start, GRPO and whole games


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_last_checkpoint(config, tmp_path):
    changes = ["cold_start.trl.learning_rate=1e30", "cold_start.save=1"]
    with pytest.raises(RuntimeError, match=r"(loss|norm) is (nan|inf).* at step \d.*smaller learning rate"):
        run(config, tmp_path, *changes)
    for path in checkpoints(tmp_path / "cold_start"):
        assert all(torch.isfinite(weights).all() for weights in load_model(path)[0].parameters())


def test_replies_that_cannot_be_drawn_end_the_run_as_clearly(config, tmp_path):
    with pytest.raises(RuntimeError, match=r"at step \d.*smaller learning rate"):
        run(config, tmp_path, "grpo.trl.learning_rate=1e30", "grpo.save=1")
    for path in checkpoints(tmp_path / "grpo"):
        assert all(torch.isfinite(weights).all() for weights in load_model(path)[0].parameters())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit file sizes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@slow
@pytest.mark.parametrize("share", [0.5, 1.5])  # the weights do not fit, or the optimizer's state
def test_a_full_disk_ends_the_run_and_spares_the_last_checkpoint(config, tmp_path, share):
    out = run(config, tmp_path, "grpo.steps=2", "evaluation.episodes=1")
    size = (out / "grpo/model/model.safetensors").stat().st_size
    more = ("grpo.steps=6", "evaluation.episodes=1")
    with files_of_at_most(int(share * size)), pytest.raises(OSError, match=r"checkpoint-4 cannot be written"):
        run(config, out, *more, resume=True)
    assert sorted(path.name for path in (out / "grpo").iterdir() if path.is_dir()) == ["checkpoint-2"]
    load_model(out / "grpo/checkpoint-2")
    run(config, out, *more, resume=True)
    assert steps(out) == ALL
