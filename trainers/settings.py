"""TRL's configurations from a recipe: fixed settings of a stage, then options that are passed through."""

from dataclasses import fields
from math import gcd
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import torch
from trl import GRPOConfig, SFTConfig

from vlm_gym.config import Within, read_value

from .recipe import Amount, ColdStart, Grpo, NotNegative, Positive, Recipe, Table, passed

ELSEWHERE = {
    "output_dir": "--out",
    "seed": "seed",
    "report_to": "trackers",
    "gradient_accumulation_steps": "the batch",
    "resume_from_checkpoint": "--resume",
    "eval_strategy": "evaluation",
    "eval_on_start": "evaluation",
    "load_best_model_at_end": "evaluation",
    "auto_find_batch_size": "per_device_train_batch_size",
    "deepspeed": "--accelerate",
    "fsdp": "--accelerate",
    "fsdp_config": "--accelerate",
    "parallelism_config": "--accelerate",
}
ELSEWHERE_COLD_START = {**ELSEWHERE, "max_steps": "cold_start.steps", "save_steps": "cold_start.save"}
ELSEWHERE_GRPO = {
    **ELSEWHERE,
    "max_steps": "grpo.steps",
    "num_train_epochs": "grpo.steps",
    "save_steps": "grpo.save",
    "scale_rewards": "grpo.scale",
    "multi_objective_aggregation": "grpo.scale",
    "reward_weights": "grpo.weights",
    "generation_batch_size": "grpo.prompts_per_step",
    "shuffle_dataset": "grpo.shares",
}
"""TRL's options that a recipe or a command sets, and the key or option for each."""

FIXED: Table = {
    "logging_strategy": "steps",
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
    "save_strategy": "steps",
    "save_only_model": False,  # a run could not resume
    "save_total_limit": None,  # the last two are kept
    "save_on_each_node": False,  # all nodes share the folder
    "enable_jit_checkpoint": False,
    "ignore_data_skip": False,
    "disable_tqdm": True,
    "log_level_replica": "error",
    "ddp_broadcast_buffers": False,  # in place, between the passes of one loss
}
FIXED_COLD_START: Table = {
    **FIXED,
    "max_length": None,  # it would cut pictures
    "packing": False,
    "padding_free": False,
    "completion_only_loss": None,  # the loss is on the reply alone
    "assistant_only_loss": False,
    "remove_unused_columns": True,
}
FIXED_GRPO: Table = {
    **FIXED,
    "sync_ref_model": False,  # no checkpoint holds that model
    "use_transformers_continuous_batching": False,  # it shows no pictures
    "chat_template_kwargs": None,  # prompts are those of evaluation
    "remove_unused_columns": False,
}
"""TRL's options that every run sets to these values."""

_EVERY_VALUE: dict[str, object] = {
    "learning_rate": Amount,
    "weight_decay": Amount,
    "warmup_steps": Amount,
    "num_train_epochs": Annotated[float, Within(0, above=True)],
    "per_device_train_batch_size": Positive,
}
COLD_START_VALUES: dict[str, object] = {**_EVERY_VALUE, "loss_type": Literal["nll", "chunked_nll", "dft"]}
GRPO_VALUES: dict[str, object] = {
    **_EVERY_VALUE,
    "loss_type": Literal["grpo", "dapo", "dr_grpo", "bnpo", "luspo", "cispo", "sapo", "vespo"],
    "importance_sampling_level": Literal["token", "sequence"],
    "vllm_mode": Literal["colocate", "server"],
    "num_generations": Annotated[int, Within(2)],
    "num_iterations": Positive,
    "steps_per_generation": Positive,
    "max_completion_length": Positive,
    "temperature": Annotated[float, Within(0, above=True)],
    "top_p": Annotated[float, Within(0, 1, above=True)],
    "top_k": NotNegative,
    "beta": Amount,
    "epsilon": Amount,
}
"""Choices and ranges of options that TRL checks late, or never."""


def both(recipe: Recipe, out: Path, processes: int) -> GRPOConfig | None:
    """Check before any work that TRL takes the settings. Returns those of GRPO, or None without GRPO."""
    if recipe.cold_start:
        cold_start(recipe, out, processes)
    return grpo(recipe, out, processes) if recipe.grpo else None


def cold_start(recipe: Recipe, out: Path, processes: int = 1) -> SFTConfig:
    """Configure TRL's `SFTTrainer`. Raises `ValueError` for what is unknown or does not divide."""
    asked = recipe.cold_start
    assert asked is not None
    given = passed_on(asked)
    micro, turns = _share("cold_start.batch", asked.batch, given, processes)
    return SFTConfig(
        **{
            **_common(recipe, out),
            **FIXED_COLD_START,
            "save_steps": asked.save,
            "max_steps": asked.steps or -1,
            "num_train_epochs": 1,
            **given,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": turns,
        }
    )


def grpo(recipe: Recipe, out: Path, processes: int = 1) -> GRPOConfig:
    """Configure TRL's `GRPOTrainer`. Raises `ValueError` for what is unknown or does not divide."""
    asked = recipe.grpo
    assert asked is not None
    given = passed_on(asked)
    group = int(given.get("num_generations", _default(GRPOConfig, "num_generations")))
    micro, turns = _share(
        "grpo.prompts_per_step * num_generations", asked.prompts_per_step * group, given, processes
    )
    if asked.prompts_per_step % processes:
        raise ValueError(
            f"grpo.prompts_per_step={asked.prompts_per_step} do not go into {processes} processes: "
            "a group would be split"
        )
    if recipe.turns > 1 and (asked.prompts_per_step // processes) % recipe.turns:
        raise ValueError(
            f"grpo.prompts_per_step={asked.prompts_per_step} in {processes} processes do not divide "
            f"into plays of {recipe.turns} "
            f"turns; choose a multiple of {recipe.turns * processes}"
        )
    # Replies shared by several steps are in no checkpoint; resuming between these steps would sample others.
    parts = int(given.get("steps_per_generation") or turns)
    period = parts * int(given.get("num_iterations", _default(GRPOConfig, "num_iterations")))
    shared = period // gcd(period, turns)
    for name, count in (("save", asked.save), ("steps", asked.steps)):
        if count % shared:
            raise ValueError(
                f"grpo.{name}={count} is not possible; grpo.{name} is a multiple of {shared}, the steps that "
                "learn from the same replies: a run that goes on from between them would differ"
            )
    return GRPOConfig(
        **{
            **_common(recipe, out),
            **FIXED_GRPO,
            "save_steps": asked.save,
            "max_steps": asked.steps,
            "shuffle_dataset": False,
            **given,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": turns,
        }
    )


def passed_on(stage: ColdStart | Grpo) -> Table:
    """Check what goes to TRL: names, types, and what values it has. Raises `ValueError` by the key."""
    if isinstance(stage, ColdStart):
        table = "cold_start.trl"
        given = passed(SFTConfig, stage.trl, ELSEWHERE_COLD_START, FIXED_COLD_START, table)
        types = {**get_type_hints(SFTConfig), **COLD_START_VALUES}
    else:
        table = "grpo.trl"
        given = passed(GRPOConfig, stage.trl, ELSEWHERE_GRPO, FIXED_GRPO, table)
        types = {**get_type_hints(GRPOConfig), **GRPO_VALUES}
    for name, value in given.items():
        read_value(types[name], value, f"{table}.{name}")
    return given


def _share(name: str, whole: int, given: Table, processes: int) -> tuple[int, int]:
    """Divide a batch among processes and steps of gradient accumulation."""
    micro = int(given.get("per_device_train_batch_size", 0)) or whole // processes
    if micro < 1 or whole % (micro * processes):
        raise ValueError(
            f"{name}={whole} does not divide into {processes} processes with "
            f"per_device_train_batch_size={micro}"
        )
    return micro, whole // (micro * processes)


def _common(recipe: Recipe, out: Path) -> Table:
    """Return the settings of all stages. Without a GPU, numbers are float32 and nothing is recomputed."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(out),
        "seed": recipe.seed,
        "report_to": list(recipe.trackers) or "none",
        "use_cpu": not gpu,
        "bf16": gpu,
        "gradient_checkpointing": gpu,
        "dataloader_pin_memory": gpu,
    }


def _default(configuration: type, name: str) -> int:
    """Return the default of a field of a configuration, a whole number."""
    defaults = {entry.name: entry.default for entry in fields(configuration)}
    default = defaults[name]
    assert isinstance(default, int)
    return default
