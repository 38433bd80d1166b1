"""Load a checkpoint: its files are checked, unpickling is restricted, and every tensor must have a place.

Checkpoints carry the names of the hub, which for some families are not the names of the model in memory (in
LLaVA, ``language_model.model`` is ``model.language_model``). Transformers' `from_pretrained` maps them.
`Trainer` does not: it compares names and skips what it does not know.
"""

import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import Module, Parameter
from transformers import PreTrainedModel, TrainerState
from transformers.trainer_pt_utils import safe_globals

from vlm_gym.storage import read_json

from ..recipe.tables import Table

if TYPE_CHECKING:
    from peft import PeftModel

STATE = "trainer_state.json"
OPTIMIZER = "optimizer"
SCHEDULER = "scheduler.pt"
FSDP = "pytorch_model_fsdp.bin"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PICKLED = (".pt", ".pth", ".bin")
_OF_DEEPSPEED = (
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
    "deepspeed.runtime.zero.config.ZeroStageEnum",
)
"""What its files name beside numbers. Other names in its modules can lead to any function."""
_NEVER_READ = "training_args.bin"
"""Written by transformers, and not read here."""
_MOST_NAMES = 5


class Broken(ValueError):
    """A file of a run that is truncated, or is not what its name says."""


@contextmanager
def blaming_file(path: Path) -> Iterator[None]:
    """Raise `Broken` with the path of a file for whatever its contents make a reader raise."""
    try:
        yield
    except Broken:
        raise
    except torch.OutOfMemoryError:
        raise
    except FileNotFoundError as error:
        raise Broken(f"{path} is missing") from error
    except (
        *(AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError),
        *(pickle.UnpicklingError, SafetensorError),
    ) as error:
        message = " ".join(str(error).split())
        raise Broken(f"{path} is broken: {type(error).__name__}: {message[:200]}") from error


def read_entries(path: Path, **types: type | tuple[type, ...]) -> Table:
    """Read an object from a JSON file, and check that it has entries of these types.

    Raises `Broken`, a `ValueError`, that names the file.
    """
    with blaming_file(path):
        data = read_json(path)
    for name, expected in types.items():
        if name not in data:
            raise Broken(f"{path} is broken: it has no {name!r}")
        if not isinstance(data[name], expected) or isinstance(data[name], bool):
            raise Broken(f"{path} is broken: {name} is {json.dumps(data[name])[:80]}")
    return data


def verify_checkpoint(checkpoint: Path, steps: int) -> None:
    """Check the files of a checkpoint of so many steps. Raises `Broken` that names a bad one."""
    state = checkpoint / STATE
    contents = read_entries(state, global_step=int, max_steps=int, log_history=list)
    if contents["global_step"] != steps:
        raise Broken(f"{state} is broken: it is of step {contents['global_step']}, not of {steps}")
    with blaming_file(state):
        TrainerState.load_from_json(str(state))
    in_parts = any(checkpoint.glob("global_step*"))
    if not in_parts and not any(checkpoint.glob(f"{OPTIMIZER}.*")):
        raise Broken(f"{checkpoint} has no {OPTIMIZER}.pt: it cannot go on")
    for path in sorted(filter(Path.is_file, checkpoint.rglob("*"))):
        if path.suffix == ".safetensors":
            with blaming_file(path), safe_open(path, "pt") as file:
                file.keys()
        elif path.suffix in _PICKLED and path.name != _NEVER_READ:
            _check_pickle(path, of_deepspeed=path.parent.name.startswith("global_step"))
    scheduler = checkpoint / SCHEDULER
    if scheduler.exists() or not in_parts:
        with blaming_file(scheduler):
            torch.load(scheduler, weights_only=True)["last_epoch"]
    dice = sorted(checkpoint.glob("rng_state*.pth"))
    if not dice:
        raise Broken(f"{checkpoint} has no rng_state.pth: it cannot go on")
    for path in dice:
        with blaming_file(path), safe_globals():
            contents = torch.load(path, weights_only=True)
            contents["python"], contents["numpy"], contents["cpu"]


def _check_pickle(path: Path, of_deepspeed: bool) -> None:
    """Check, without unpickling, that a file of `torch.save` names only classes that hold numbers."""
    with blaming_file(path), safe_globals():
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    if of_deepspeed:
        foreign = [name for name in foreign if name not in _OF_DEEPSPEED]
    if foreign:
        raise Broken(f"{path} is no file of ours: reading it would run {', '.join(sorted(foreign))}")


def restore_weights(model: Module, checkpoint: Path) -> None:
    """Load the weights of a checkpoint into a model that lies whole in this process.

    A folder of adapters is loaded into the adapters of a model of peft. Raises `Broken` that names tensors
    without a place, and weights of the model without a tensor.
    """
    if isinstance(model, PreTrainedModel):
        _restore_whole(model, checkpoint)
        return
    from peft import PeftModel

    assert isinstance(model, PeftModel)
    _restore_adapters(model, checkpoint)


class LoadReport(TypedDict):
    """Names of weights: what a checkpoint lacks, has beside those of the model, or has in another shape."""

    missing_keys: Iterable[object]
    unexpected_keys: Iterable[object]
    mismatched_keys: Iterable[object]


def load_with_report(
    load: Callable[..., object], path: str | Path, **options: object
) -> tuple[PreTrainedModel, LoadReport]:
    """Load a model by a `from_pretrained` of transformers, and return what did not fit, too."""
    loaded = load(path, output_loading_info=True, **options)
    assert isinstance(loaded, tuple)
    model, report = loaded
    assert isinstance(model, PreTrainedModel)
    return model, report


def _restore_whole(model: PreTrainedModel, checkpoint: Path) -> None:
    """Load a second model by transformers, which converts names and weights, and copy its weights."""
    with blaming_file(checkpoint):
        loaded, report = load_with_report(
            type(model).from_pretrained, checkpoint, dtype=model.dtype, ignore_mismatched_sizes=True
        )
    check_places(checkpoint, report["missing_keys"], report["unexpected_keys"], report["mismatched_keys"])
    with blaming_file(checkpoint):
        model.load_state_dict(loaded.state_dict(), strict=True)  # both have the names in memory


def _restore_adapters(model: "PeftModel", checkpoint: Path) -> None:
    """Load adapters by peft, after a comparison of names: peft skips what it does not know."""
    from peft import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict

    path = checkpoint / ADAPTER_WEIGHTS
    name = model.active_adapters[0]
    with blaming_file(path):
        tensors = load_peft_weights(str(checkpoint), device="cpu")
    own = get_peft_model_state_dict(model, adapter_name=name)
    compare_tensors(path, tensors, own)
    with blaming_file(path):
        set_peft_model_state_dict(model, tensors, adapter_name=name)


def check_cut(model: Module, checkpoint: Path) -> None:
    """Check that what FSDP2 wrote into a checkpoint is what a model takes. Raises `Broken` with the names."""
    path = checkpoint / FSDP
    with blaming_file(path):
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    own = dict(model.state_dict())
    if hasattr(model, "peft_config"):  # its checkpoint may hold some of the frozen weights
        trained = _trained(model)
        for name in list(own):
            if name not in trained and name not in tensors:
                del own[name]
    compare_tensors(path, tensors, own)


@contextmanager
def without_state(model: Module, path: Path) -> Iterator[None]:
    """Freeze parameters without a saved optimizer state while the state of an FSDP2 optimizer is loaded.

    The last layer of LLaVA's tower is not used and never has a gradient, so AdamW makes no state for it, and
    torch would refuse the whole file for that. Raises `Broken` for states of parameters that are not trained.
    """
    with blaming_file(path):
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state"].keys()
    trained = _trained(model)
    check_places(path, (), saved - trained.keys())
    without = list[Parameter]()
    for name, weights in trained.items():
        if name not in saved:
            without.append(weights)
    for weights in without:
        weights.requires_grad_(False)
    try:
        yield
    finally:
        for weights in without:
            weights.requires_grad_(True)


def _trained(model: Module) -> dict[str, Parameter]:
    """Return the parameters that are not frozen, by name."""
    trained = dict[str, Parameter]()
    for name, weights in model.named_parameters():
        if weights.requires_grad:
            trained[name] = weights
    return trained


def check_optimizer(optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Check that what was loaded for a parameter has its shape: torch compares their number alone."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                shapes = f"{tuple(value.shape)} for weights of {tuple(parameter.shape)}"
                raise Broken(f"{path} is of another model: {name} is {shapes}")


def compare_tensors(path: Path, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Compare the names and shapes of a file's tensors with those of a model's. Raises `Broken`."""
    shared = tensors.keys() & own.keys()
    reshaped = list[str]()
    for name in sorted(shared):
        if tensors[name].shape != own[name].shape:
            reshaped.append(name)
    check_places(path, own.keys() - tensors.keys(), tensors.keys() - own.keys(), reshaped)


def check_places(
    path: str | Path,
    missing: Iterable[object],
    unexpected: Iterable[object] = (),
    mismatched: Iterable[object] = (),
) -> None:
    """Raise `Broken` if there are names that one side alone has, or has in another shape."""
    problems = []
    for names, problem in (
        (missing, "lacks"),
        (unexpected, "has, and the model has not,"),
        (mismatched, "has in another shape"),
    ):
        # Transformers reports a tensor of another shape as a tuple of its name and both shapes.
        listed = sorted(str(name[0]) if isinstance(name, tuple) else str(name) for name in names)
        if listed:
            more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
            problems.append(f"it {problem} {', '.join(listed[:_MOST_NAMES])}{more}")
    if problems:
        raise Broken(f"{path} does not fit the model: {'; '.join(problems)}")
