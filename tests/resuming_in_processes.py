"""Stages that are resumed in several processes, of every family: what they log, undisturbed and resumed.

    accelerate launch ... tests/resuming_in_processes.py HOW OUT KINDS OPTIMIZERS

HOW is ``ddp``, ``fsdp2`` or ``zero3``. Writes ``told.json`` into the folder OUT, from the main process.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from test_resuming import BASES, KINDS, base, lines, recipe, trainer
from vlm_gym.trainers.data.parquet import make_rows
from vlm_gym.trainers.distributed import apart, together


def learn(stage: str, start: Path, out: Path, data: Path, asked: Any, checkpoint: Path | None) -> Any:
    made = trainer(stage, start, out, data, asked)
    made.go_on(checkpoint)
    told = lines(made)
    del made
    apart()
    return told


def work(out: Path, kinds: list[str], optimizers: list[str]) -> None:
    with together() as processes:
        main = processes.is_main_process
        if main:
            make_rows(recipe(), out / "data")
            for family in BASES:
                base(family, out / family)
        processes.wait_for_everyone()
        told = {}
        for family in BASES:
            for kind in kinds:
                for optimizer in optimizers if kind == "whole" and family == "llava" else ["adamw"]:
                    for stage in ("cold_start", "grpo"):
                        name = f"{family}-{kind}-{optimizer}-{stage}"
                        asked = recipe(optimizer, KINDS[kind])
                        given = (stage, out / family, out / name, out / "data/rows.parquet", asked)
                        whole = learn(*given, None)
                        again = learn(*given, out / name / "checkpoint-2")
                        told[name] = {"whole": whole, "again": again}
        if main:
            (out / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    how, folder, kinds, optimizers = sys.argv[1:]
    torch.set_num_threads(1)
    if how == "fsdp2":
        import fsdp_on_cpus

        fsdp_on_cpus.cut_on_cpus()
    work(Path(folder), kinds.split(","), optimizers.split(","))
