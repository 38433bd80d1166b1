"""The seconds of a step: of the environment, of generation, and of the update, which is all the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from transformers import Trainer


class Timed(Trainer):
    """A trainer that logs seconds, in the mean over its processes, since the line before."""

    _seconds: dict[str, float]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Begin to count, and make a trainer from its own arguments."""
        self._seconds = dict.fromkeys(("environment", "generation", "update"), 0.0)
        super().__init__(*args, **options)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count the time of a block, less that of blocks inside, as one of the three kinds."""
        start = perf_counter()
        others = sum(self._seconds.values())
        yield
        within = sum(self._seconds.values()) - others  # of blocks inside this one
        self._seconds[phase] += perf_counter() - start - within

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, object],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Take a step, and count its time without that of the environment and of generation as the update."""
        others = sum(self._seconds.values())
        start = perf_counter()
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        taken = perf_counter() - start
        self._seconds["update"] += taken - (sum(self._seconds.values()) - others)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log numbers, and with those of a step its seconds."""
        if "loss" in logs:
            mine = torch.tensor([list(self._seconds.values())], device=self.accelerator.device)
            taken = self.accelerator.gather(mine).mean(dim=0).tolist()
            spent = dict(zip(self._seconds, taken, strict=True))
            for name, value in spent.items():
                logs[f"seconds/{name}"] = round(value, 4)
            logs["seconds/share_of_environment"] = round(spent["environment"] / (sum(taken) or 1.0), 5)
            self._seconds = dict.fromkeys(self._seconds, 0.0)
        super().log(logs, start_time)
