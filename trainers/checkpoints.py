"""Checkpoints that are there whole or not at all: written aside, looked through, and renamed."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint

KEPT = 2
"""Checkpoints of a stage that stay on disk, the newest ones."""
_ASIDE = "unfinished"


class Whole(Trainer):
    """A trainer that never leaves half a checkpoint, nor one with weights that are no numbers.

    To be named before a trainer of TRL among the bases of a class. Raises `RuntimeError` as soon as a loss or a
    gradient is not finite, and `OSError` if a checkpoint cannot be written: the last one is good in both cases.
    """

    _aside = False

    def training_step(self, *args: Any, **options: Any) -> torch.Tensor:
        """Take a step, and stop where the loss is no number any more."""
        loss: torch.Tensor = super().training_step(*args, **options)
        if not torch.isfinite(loss):
            raise RuntimeError(self._broken(f"the loss is {loss.item()}"))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise RuntimeError(self._broken(f"the gradient's norm is {float(norm)}"))
        return norm

    def _broken(self, what: str) -> str:
        last = get_last_checkpoint(self.args.output_dir)
        rest = f"{last} is the last good checkpoint" if last else "there is no checkpoint yet"
        return f"{what} at step {self.state.global_step + 1}; {rest}. Try a smaller learning rate."

    def _get_output_dir(self, trial: Any) -> str:
        folder = super()._get_output_dir(trial)
        return str(Path(folder) / _ASIDE) if self._aside else folder

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        home, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
        self._aside = True
        try:
            super()._save_checkpoint(model, trial)
            if self.is_world_process_zero():
                self.save_beside(home / _ASIDE / name)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(home / _ASIDE, ignore_errors=True)
            last = get_last_checkpoint(home) if home.exists() else None
            raise OSError(f"{name} cannot be written to {home}: {error}. {last or 'None'} is whole.") from error
        finally:
            self._aside = False
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            shutil.rmtree(home / name, ignore_errors=True)
            (home / _ASIDE / name).rename(home / name)
            for old in checkpoints(home)[:-KEPT]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def save_beside(self, folder: Path) -> None:
        """Write what a stage needs to go on, beside TRL's files."""

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """Write no card: a run has a report."""


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a stage, oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
