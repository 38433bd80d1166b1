"""Files of a run that are truncated, tampered with or foreign: one line names them, and nothing is run."""

import json
import pickle
import shutil
from collections.abc import Callable
from logging import Handler, LogRecord, getLogger
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from safetensors.torch import load_file, save_file
from test_resuming import KINDS, base, recipe, trainer
from vlm_gym.trainers.data.parquet import make_rows
from vlm_gym.trainers.learners.checkpoints import checkpoints
from vlm_gym.trainers.models.restoring import Broken, _check_pickle, read_entries, verify_checkpoint
from vlm_gym.trainers.models.transformers_policy import load_model as load_model
from vlm_gym.trainers.start_states import StartStates
from vlm_gym.trainers.tracking import cut
from vlm_gym.trainers.train import hush, train


class Begun:
    """A stage of LLaVA with a checkpoint of its second step."""

    def __init__(self, folder: Path, stage: str, kind: str) -> None:
        self.stage = stage
        self.asked = recipe(model=KINDS[kind])
        self.start = base("llava", folder / "start")
        self.data = make_rows(self.asked, folder / "data") if stage == "cold_start" else folder
        self.out = folder / stage
        trainer(stage, self.start, self.out, self.data, self.asked).go_on(None)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return Begun(tmp_path_factory.mktemp("begun"), "cold_start", "whole")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return Begun(tmp_path_factory.mktemp("adapted"), "cold_start", "lora")


@pytest.fixture(scope="module")
def rewarded(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return Begun(tmp_path_factory.mktemp("rewarded"), "grpo", "whole")


class Foreign:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def change(**values: Any) -> Callable[[Path], None]:
    def changing(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return changing


def write(words: str) -> Callable[[Path], None]:
    def writing(path: Path) -> None:
        path.write_text(words)

    return writing


def booby_trap(path: Path) -> None:
    torch.save({"state": Foreign(path.with_name("ran"))}, path)


def old_booby_trap(path: Path) -> None:
    path.write_bytes(pickle.dumps(Foreign(path.with_name("ran"))))


def of_numbers(path: Path) -> None:
    torch.save({"numbers": torch.ones(3)}, path)


def of_another_width(path: Path) -> None:
    told = torch.load(path, weights_only=True)
    for state in told["state"].values():
        state["exp_avg"] = torch.ones(3, 3)
    torch.save(told, path)


def without_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors[max(tensors)]
    save_file(tensors, path, {"format": "pt"})


def with_another_tensor(path: Path) -> None:
    save_file({**load_file(path), "model.stranger": torch.ones(3)}, path, {"format": "pt"})


def with_another_shape(path: Path) -> None:
    tensors = load_file(path)
    save_file({**tensors, max(tensors): torch.ones(3, 3, 3)}, path, {"format": "pt"})


def nest(path: Path) -> None:
    path.write_text("[" * 100_000)


DAMAGE = [
    *(("trainer_state.json", damage) for damage in (halve, empty, remove, nest, write("[1]"), write("{}"))),
    *(
        ("trainer_state.json", change(**values))
        for values in (
            {"global_step": 7},
            {"global_step": "2"},
            {"max_steps": None},
            {"log_history": "long"},
            {"stranger": 1},
        )
    ),
    *(("optimizer.pt", damage) for damage in (halve, empty, remove, booby_trap, old_booby_trap)),
    ("optimizer.pt", write("nothing")),
    *(("scheduler.pt", damage) for damage in (halve, remove, booby_trap, of_numbers)),
    *(("rng_state.pth", damage) for damage in (halve, remove, booby_trap, of_numbers)),
    *(("model.safetensors", damage) for damage in (halve, empty, write("nothing" * 9))),
]
"""What is seen before anything is loaded."""
MISFITS = [
    *(("optimizer.pt", damage) for damage in (of_numbers, of_another_width)),
    *(("trainer_state.json", change(log_history=values)) for values in ([], [1])),
    *(
        ("model.safetensors", damage)
        for damage in (remove, without_a_tensor, with_another_tensor, with_another_shape)
    ),
    ("config.json", halve),
]
"""What is seen when it is loaded."""


def check_refused(
    run: Begun, folder: Path, name: str, damage: Callable[[Path], None], read: Callable[[Path], None]
) -> str:
    """Damage a file of a checkpoint, and check how whoever reads it refuses it."""
    checkpoint = folder / "checkpoint-2"
    shutil.copytree(run.out / "checkpoint-2", checkpoint)
    damage(checkpoint / name)
    with pytest.raises(ValueError, match="checkpoint-2") as told:
        read(checkpoint)
    words = str(told.value)
    assert "\n" not in words
    assert name in words or name.partition(".")[0] in words or "does not fit" in words, words
    assert not list(folder.rglob("ran"))
    return words


def go_on(run: Begun) -> Callable[[Path], None]:
    def going_on(checkpoint: Path) -> None:
        trainer(run.stage, run.start, checkpoint.parent, run.data, run.asked).go_on(checkpoint)

    return going_on


@pytest.mark.parametrize(("name", "damage"), DAMAGE)
def test_a_damaged_file_of_a_checkpoint_is_named_in_one_line(begun, tmp_path, name, damage):
    check_refused(begun, tmp_path, name, damage, lambda checkpoint: verify_checkpoint(checkpoint, 2))


@pytest.mark.parametrize(("name", "damage"), MISFITS)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(begun, tmp_path, name, damage):
    check_refused(begun, tmp_path, name, damage, go_on(begun))


def test_a_checkpoint_is_checked_before_it_is_loaded(begun, tmp_path):
    words = check_refused(begun, tmp_path, "optimizer.pt", booby_trap, go_on(begun))
    assert "is no file of ours: reading it would run" in words
    assert "pathlib" in words


@pytest.mark.parametrize("damage", [halve, without_a_tensor, with_another_tensor, with_another_shape])
def test_damaged_adapters_are_refused_in_a_line_that_names_the_file(adapted, tmp_path, damage):
    check_refused(adapted, tmp_path, "adapter_model.safetensors", damage, go_on(adapted))


@pytest.mark.parametrize(
    "damage",
    [halve, remove, write("{}"), change(lanes=[]), change(lanes=[[1]]), change(lanes=[[[0, {}, 0]] * 2])],
)
def test_damaged_positions_are_refused_in_a_line_that_names_the_file(rewarded, tmp_path, damage):
    starts = StartStates(rewarded.asked, rewarded.asked.grpo)
    starts.load(rewarded.out / "checkpoint-2")
    check_refused(rewarded, tmp_path, "own.json", damage, starts.load)


def test_tensors_without_a_place_are_named(begun, tmp_path):
    words = check_refused(begun, tmp_path / "one", "model.safetensors", with_another_tensor, go_on(begun))
    assert "it has, and the model has not, model.stranger" in words
    words = check_refused(begun, tmp_path / "two", "model.safetensors", without_a_tensor, go_on(begun))
    assert "it lacks model.vision_tower." in words


@pytest.mark.parametrize("damage", [halve, without_a_tensor])
def test_a_model_without_all_its_weights_is_not_loaded(begun, tmp_path, damage):
    shutil.copytree(begun.start, tmp_path / "model")
    damage(tmp_path / "model/model.safetensors")
    with pytest.raises(ValueError, match="model") as told:
        load_model(tmp_path / "model")
    assert "\n" not in str(told.value)


def test_no_warning_of_a_loader_is_silenced(begun, tmp_path):
    shutil.copytree(begun.start, tmp_path / "model")
    with_another_tensor(tmp_path / "model/model.safetensors")
    heard = list[str]()

    class Ear(Handler):
        def emit(self, record: LogRecord) -> None:
            heard.append(record.getMessage())

    ear = Ear()
    getLogger("transformers").addHandler(ear)
    try:
        hush()
        load_model(tmp_path / "model")
    finally:
        getLogger("transformers").removeHandler(ear)
    assert any("model.stranger" in words for words in heard)


@pytest.mark.parametrize("name", ["run.json", "cold_start/done.json"])
@pytest.mark.parametrize("damage", [halve, write("[]"), write("{}")])
def test_damaged_files_of_a_run_are_named_in_one_line(begun, tmp_path, name, damage):
    asked = recipe()
    out = tmp_path / "run"
    (out / "cold_start").mkdir(parents=True)
    told = {"recipe": asked.resolved(), "commands": [], "asked": 3}
    for each in ("run.json", "cold_start/done.json"):
        (out / each).write_text(json.dumps(told))
    shutil.copytree(begun.start, out / "model")
    shutil.copytree(begun.data.parent, out / "data")
    damage(out / name)
    with pytest.raises(ValueError, match=f"{name} is broken") as refused:
        train(asked, out, resume=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "words", ["", '{"asked": true}', '{"asked": 1.5}', '{"asked": null}', '"asked"', "[" * 100_000, "\0"]
)
def test_entries_are_of_their_type(tmp_path, words):
    path = tmp_path / "done.json"
    path.write_text(words)
    with pytest.raises(ValueError, match=r"done\.json is broken: "):
        read_entries(path, asked=int)


def test_a_broken_line_of_metrics_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for words in ('{"stage": "grpo"}', '{"stage": "grpo", "step": "one"}'):
        path.write_text(f'{{"stage": "grpo", "step": 1}}\n{words}\n{{"stage": "grpo", "step": 2}}\n')
        with pytest.raises(ValueError, match=r"metrics\.jsonl holds something else than .* in line 2"):
            cut(path, "grpo", 1)


def test_a_torn_line_of_metrics_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "grpo", "step": 1}\n{"stage": "gr\n{"stage": "grpo", "step": 2}\n')
    cut(path, "grpo", 1)
    assert path.read_text() == '{"stage": "grpo", "step": 1}\n'


def test_a_copy_of_a_checkpoint_is_none(tmp_path):
    for name in ("checkpoint-4", "checkpoint-12", "checkpoint-4-copy", "checkpoint-best"):
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-4", "checkpoint-12"]


@pytest.mark.parametrize("name", ["commands", "earlier"])
@pytest.mark.parametrize("value", [None, "x", {}, [3]])
def test_what_a_run_lists_of_earlier_commands_is_of_its_type(tmp_path, name, value):
    asked = recipe()
    (tmp_path / "cold_start").mkdir()
    (tmp_path / "cold_start/done.json").write_text('{"asked": 3}')
    told = {"recipe": asked.resolved(), "commands": ["vlm-gym train"], name: value}
    (tmp_path / "run.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"run\.json is broken: [^\n]+$"):
        train(asked, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("module", "name", "taken"),
    [
        ("deepspeed.runtime.zero.config", "ZeroStageEnum", True),
        ("deepspeed.runtime.zero.config", "other", False),
        ("deepspeed.launcher.runner", "os.system", False),
        ("deepspeed.env_report", "subprocess.Popen", False),
        ("os", "system", False),
    ],
)
def test_of_deepspeed_only_the_classes_in_its_own_files_are_unpickled(
    monkeypatch, tmp_path, module, name, taken
):
    path = tmp_path / "global_step2" / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    path.parent.mkdir()
    # From protocol 4 on, Python follows the points of a name: a module leads to all that it has imported.
    pickled = b"\x80\x04c" + f"{module}\n{name}\n.".encode()
    with ZipFile(path, "w") as file:  # what `torch.save` writes
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")
    if taken:
        _check_pickle(path, of_deepspeed=True)
    else:
        with pytest.raises(Broken, match=rf"is no file of ours: reading it would run {module}\.{name}$"):
            _check_pickle(path, of_deepspeed=True)
