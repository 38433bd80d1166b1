"""The cold start: rows are learnt, measured on the way, and kept in whole checkpoints; and a run's lines."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import LENGTH, TASKS
from transformers import PrinterCallback, TrainerCallback
from vlm_gym.trainers import settings
from vlm_gym.trainers.cold_start import ColdStartTrainer
from vlm_gym.trainers.data.parquet import make_rows
from vlm_gym.trainers.learners.checkpoints import KEPT, checkpoints
from vlm_gym.trainers.models.transformers_policy import Transformers, load_model
from vlm_gym.trainers.probe import PROBE_POSITIONS, Probe
from vlm_gym.trainers.recipe import ColdStart, Data, Measure, Recipe
from vlm_gym.trainers.rewards import grade_completion
from vlm_gym.trainers.tracking import cut

ROWS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rows(recipe(), tmp_path_factory.mktemp("data"))


def recipe(**asked_for: Any) -> Recipe:
    given = {"batch": 4, "steps": 4, "save": 2, **asked_for}
    return Recipe(task=TASKS, data=Data(rows=ROWS), cold_start=ColdStart(**given))


class Listener(TrainerCallback):
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.lines.append({"step": state.global_step, **logs})


def imitation(talker: Path, data: Path, out: Path, **asked_for: Any) -> tuple[ColdStartTrainer, Listener]:
    trainer = ColdStartTrainer(*load_model(talker), settings.cold_start(recipe(**asked_for), out), data)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(heard := Listener())
    return trainer, heard


def test_rows_are_learnt(talker, data, tmp_path):
    trl = {"learning_rate": 3e-3, "lr_scheduler_type": "constant"}
    trainer, heard = imitation(talker, data, tmp_path, steps=20, save=100, trl=trl)
    trainer.go_on(None)
    assert [line["step"] for line in heard.lines] == [*range(1, 21)]
    assert heard.lines[-1]["loss"] < 0.5 * heard.lines[0]["loss"]


@pytest.mark.parametrize(("trl", "steps"), [({}, 3), ({"num_train_epochs": 2}, 6)])
def test_without_a_number_of_steps_it_is_passes_over_the_rows(talker, data, tmp_path, trl, steps):
    trainer, heard = imitation(talker, data, tmp_path, steps=0, trl=trl)
    trainer.go_on(None)
    assert len(heard.lines) == steps


def test_small_batches_add_up_to_the_same_step(talker, data, tmp_path):
    lines = []
    for micro in (4, 1):
        trl = {"per_device_train_batch_size": micro}
        trainer, heard = imitation(talker, data, tmp_path / str(micro), steps=1, trl=trl)
        trainer.go_on(None)
        lines += heard.lines
    for name in ("loss", "grad_norm"):
        assert lines[0][name] == pytest.approx(lines[1][name], rel=1e-3)


def test_it_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(talker, data, tmp_path):
    trainer, whole = imitation(talker, data, tmp_path, steps=4)
    trainer.go_on(None)
    shutil.rmtree(tmp_path / "checkpoint-4")
    trainer, rest = imitation(talker, data, tmp_path, steps=4)
    trainer.go_on(tmp_path / "checkpoint-2")
    assert rest.lines == whole.lines[2:]


def test_the_newest_checkpoints_stay(talker, data, tmp_path):
    trainer, _ = imitation(talker, data, tmp_path, steps=7, save=2)
    trainer.go_on(None)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-6", "checkpoint-7"]
    assert len(checkpoints(tmp_path)) == KEPT
    assert [path.name for path in tmp_path.iterdir() if path not in checkpoints(tmp_path)] == []


def test_what_a_checkpoint_of_long_ago_left_unfinished_does_not_matter(talker, data, tmp_path):
    for name in ("checkpoint-2", "checkpoint-9"):
        (tmp_path / "unfinished" / name).mkdir(parents=True)
        (tmp_path / "unfinished" / name / "model.safetensors").write_text("half")
    trainer, _ = imitation(talker, data, tmp_path, steps=2)
    trainer.go_on(None)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
    load_model(tmp_path / "checkpoint-2")


def test_no_checkpoint_has_weights_that_are_no_numbers(talker, data, tmp_path):
    trainer, _ = imitation(talker, data, tmp_path, steps=4, save=1)
    trainer.probe = lambda trainer: spoil(trainer, at=3)
    with pytest.raises(
        RuntimeError, match=r"a weight is no number at step 3; .*checkpoint-2 is the last good"
    ):
        trainer.go_on(None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2"]


def spoil(trainer: Any, at: int) -> dict[str, float]:
    if trainer.state.global_step == at:
        next(trainer.model.parameters()).data[0] = torch.inf
    return {}


def test_a_loss_that_is_none_names_a_checkpoint_that_worked(talker, data, tmp_path):
    trainer, _ = imitation(talker, data, tmp_path, steps=6, save=2)
    trainer.probe = lambda trainer: {}
    compute = trainer.compute_loss
    trainer.compute_loss = lambda *given, **options: (
        compute(*given, **options) * (torch.nan if trainer.state.global_step == 4 else 1)
    )
    with pytest.raises(
        RuntimeError, match=r"the loss is nan at step 5; .*checkpoint-2 is the last good check"
    ):
        trainer.go_on(None)


def test_a_probe_measures_greedy_replies_to_the_same_positions(talker, data, tmp_path):
    trainer, heard = imitation(talker, data, tmp_path, steps=4, save=2, trl={"learning_rate": 1e-9})
    trainer.probe = probe = Probe(recipe(), Measure(max_tokens=LENGTH))
    assert len(probe._requests) == 2 * PROBE_POSITIONS
    state = torch.random.get_rng_state()
    told = probe(trainer)
    assert torch.equal(state, torch.random.get_rng_state())
    trainer.go_on(None)
    assert [any(name.startswith("greedy/") for name in line) for line in heard.lines] == [0, 1, 0, 1]
    assert {name: value for name, value in heard.lines[1].items() if name in told} == told
    replies = Transformers(str(talker), max_tokens=LENGTH, device="cpu").act(probe._requests)
    graded = [
        grade_completion(request, words) for request, words in zip(probe._requests, replies, strict=True)
    ]
    for game in ("2048", "swap"):
        mine = [
            each.legal for each, asked in zip(graded, probe._requests, strict=True) if asked.game.name == game
        ]
        assert told[f"greedy/{game}/legal"] == sum(mine) / PROBE_POSITIONS


def test_a_probe_asks_for_as_many_replies_at_a_time_as_evaluation_does(talker, data, tmp_path, monkeypatch):
    trainer, _ = imitation(talker, data, tmp_path)
    whole = Probe(recipe(), Measure(max_tokens=LENGTH))(trainer)
    sizes, generate = list[int](), trainer.model.generate

    def noted(**given: Any) -> Any:
        sizes.append(len(given["input_ids"]))
        return generate(**given)

    monkeypatch.setattr(trainer.model, "generate", noted)
    assert Probe(recipe(), Measure(max_tokens=LENGTH, batch=20))(trainer) == whole
    assert sizes == [20, 20, 8]


def lines(*entries: tuple[str, int]) -> str:
    return "".join(json.dumps({"stage": stage, "step": step}) + "\n" for stage, step in entries)


def test_lines_of_steps_that_are_done_again_are_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(("cold_start", 1), ("cold_start", 2), ("grpo", 1), ("grpo", 2), ("grpo", 3)))
    cut(path, "grpo", 1)
    assert path.read_text() == lines(("cold_start", 1), ("cold_start", 2), ("grpo", 1))
    cut(path, "cold_start", 0)
    assert path.read_text() == lines(("grpo", 1))
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_half_a_line_is_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(("grpo", 1), ("grpo", 2)) + '{"stage": "grpo", "st')
    cut(path, "grpo", 2)
    assert path.read_text() == lines(("grpo", 1), ("grpo", 2))


def test_where_there_are_no_lines_nothing_is_cut(tmp_path):
    cut(tmp_path / "metrics.jsonl", "grpo", 3)
    assert not (tmp_path / "metrics.jsonl").exists()
