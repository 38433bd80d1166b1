"""Prepare a model for training by a recipe: its precision, frozen parts and adapters."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import torch
from transformers import AutoConfig, PreTrainedModel, ProcessorMixin

from ..recipe import Model, passed
from .families import family
from .restoring import restore_weights
from .transformers_policy import load_model

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER_CONFIG = "adapter_config.json"
"""Where there is one, a folder holds adapters alone."""


class TrainerOptions(TypedDict, total=False):
    """What the trainers of TRL take beside a model."""

    peft_config: "LoraConfig"


class Ready(NamedTuple):
    """A model, its processor, and what its trainer takes beside them."""

    model: PreTrainedModel
    processor: ProcessorMixin
    options: TrainerOptions


def ready(asked: Model, path: Path) -> Ready:
    """Load the model of a path as `asked`. Raises `ValueError` for what cannot be frozen or adapted."""
    learns_whole = asked.dtype == "auto" and not asked.lora
    model, processor = load_model(path, asked.pictures, dtype="float32" if learns_whole else asked.dtype)
    freeze(model, asked)
    adapters = lora_config(asked, model.config.model_type)
    return Ready(model, processor, {"peft_config": adapters} if adapters else {})


def freeze(model: PreTrainedModel, asked: Model) -> None:
    """Freeze weights where that is `asked`."""
    if pattern := frozen(asked, model.config.model_type):
        for name, weights in model.named_parameters():
            if re.fullmatch(pattern, name):
                weights.requires_grad_(False)


def frozen(asked: Model, model_type: str) -> str | None:
    """Return a regular expression for the weights and modules that are frozen; None if all are trained.

    Raises `ValueError` if the name of the vision tower is not known.
    """
    if asked.vision != "frozen":
        return None
    known = family(model_type)
    return re.escape(known.tower) + r"\." + (f"(?!.*{known.bridge})" if known.bridge else "") + ".*"


def lora_config(asked: Model, model_type: str) -> "LoraConfig | None":
    """Configure peft's adapters, on all linear layers by default; None if none are asked for.

    Raises `ValueError` for unknown names, and without peft.
    """
    if not asked.lora:
        return None
    try:
        from peft import LoraConfig
    except ModuleNotFoundError as error:
        raise ValueError("model.lora needs peft: pip install peft") from error
    ours = {"base_model_name_or_path": "model.path"}
    settings: dict[str, object] = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    if pattern := frozen(asked, model_type):
        ours["exclude_modules"] = "model.vision"
        settings["exclude_modules"] = pattern
    return LoraConfig(**{**settings, **passed(LoraConfig, asked.lora, ours, {}, "model.lora")})


def finish_checkpoint(folder: Path, base: Path) -> None:
    """Turn the folder of a checkpoint into a whole model in the precision of `base`, where training began.

    Adapters are merged into `base`, in float32. A model that was loaded in half precision and trained in
    float32 is saved in half precision again, as its configuration says.
    """
    saved = AutoConfig.from_pretrained(base).dtype or torch.float32
    if (folder / ADAPTER_CONFIG).exists():
        from peft import PeftModel

        model, _ = load_model(base, dtype="float32")
        adapted = PeftModel.from_pretrained(model, str(folder))
        restore_weights(adapted, folder)  # which checks names; peft skips those that it does not know
        model = adapted.merge_and_unload().to(saved)
        replaced = "adapter_*", "README.md"
    elif (AutoConfig.from_pretrained(folder).dtype or torch.float32).itemsize > saved.itemsize:
        model, _ = load_model(folder, dtype=saved)
        replaced = "*.safetensors", "*.safetensors.index.json"  # there may be fewer of them now
    else:
        return
    for pattern in replaced:
        for path in folder.glob(pattern):
            path.unlink()
    model.save_pretrained(folder)
