"""Stages that can be resumed: checkpoints are atomic, and a NaN or infinite loss ends the run."""

import glob
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint

from ..models.restoring import (
    OPTIMIZER,
    blaming_file,
    check_cut,
    check_optimizer,
    restore_weights,
    verify_checkpoint,
    without_state,
)

KEPT = 2
"""Checkpoints of a stage that stay on disk, the newest ones."""
_ASIDE = "unfinished"


class Whole(Trainer):
    """A trainer that writes no partial checkpoint, and none with NaN or infinite weights.

    To be named before a trainer of TRL among the bases of a class. Raises `RuntimeError` as soon as a loss or
    a gradient is not finite, and `OSError` if a checkpoint cannot be written: the last one is good then.
    """

    probe: Callable[["Whole"], dict[str, float]] | None = None
    """Metrics that are computed with every checkpoint, and logged."""
    optimizing: Callable[[torch.nn.Module], torch.optim.Optimizer] | None = None
    """Makes the optimizer of a model that is already sharded; None: TRL's own."""
    _aside = False

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer after FSDP2 has sharded the model, since FSDP2 refuses an existing one."""
        if self.optimizer is None and self.optimizing is not None:
            whole = self.model if model is None else model
            assert whole is not None
            self.optimizer = self.optimizing(whole)
        made: torch.optim.Optimizer = super().create_optimizer(model)
        return made

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log numbers, and those of the probe where a checkpoint is due."""
        if self.probe and "loss" in logs and self.state.global_step % self.args.save_steps == 0:
            logs |= self.probe(self)
        super().log(logs, start_time)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, object],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Take a step. Raises `RuntimeError` on a NaN or infinite loss."""
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise RuntimeError(self._broken(f"the loss is {loss.item()}"))
        return loss

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Raise a clear `RuntimeError` if sampling fails on token probabilities that are NaN or infinite."""
        try:
            yield
        except RuntimeError as error:  # on the CPU, then on a GPU
            message = str(error)
            if "probability tensor" not in message and "device-side assert" not in message:
                raise
            raise RuntimeError(self._broken("the token probabilities are NaN or infinite")) from error

    def _clip_grad_norm(self, model: torch.nn.Module) -> torch.Tensor | float | None:
        norm: torch.Tensor | float | None = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise RuntimeError(self._broken(f"the gradient's norm is {float(norm)}"))
        return norm

    def _broken(self, problem: str, step: int | None = None) -> str:
        reached = self.state.global_step
        good = list[Path]()
        for path in checkpoints(Path(str(self.args.output_dir))):
            if step_number(path) < reached:  # a checkpoint of this step has the bad weights
                good.append(path)
        advice = f"{good[-1]} is the last good checkpoint" if good else "there is no good checkpoint"
        return f"{problem} at step {step or reached + 1}; {advice}. Try a smaller learning rate."

    def _get_output_dir(self, trial: object) -> str:
        folder = super()._get_output_dir(trial)
        return str(Path(folder) / _ASIDE) if self._aside else folder

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        home = Path(str(self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        if not all(torch.isfinite(_held(weights)).all() for weights in model.parameters()):
            raise RuntimeError(self._broken("a weight is no number", self.state.global_step))
        self._aside = True
        try:
            super()._save_checkpoint(model, trial)
            if self.is_world_process_zero():
                self.save(home / _ASIDE / name)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(home / _ASIDE, ignore_errors=True)
            last = get_last_checkpoint(home) if home.exists() else None
            raise OSError(
                f"{name} cannot be written to {home}: {error}. {last or 'None'} is whole."
            ) from error
        finally:
            self._aside = False
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            shutil.rmtree(home / name, ignore_errors=True)
            (home / _ASIDE / name).rename(home / name)
            shutil.rmtree(home / _ASIDE)
            for old in checkpoints(home)[:-KEPT]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def go_on(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one.

        Raises `ValueError` for one of processes that have cut the model up otherwise, for one with a file
        that is truncated or foreign, and for one whose tensors are not those of the model.
        """
        if checkpoint and (saved := _layout(checkpoint)) != (current := self._layout()):
            how = f"with {saved}" if saved else f"without {current.split()[0]}"
            raise ValueError(f"{checkpoint} was written {how}, and goes on so alone")
        if checkpoint:
            verify_checkpoint(checkpoint, step_number(checkpoint))
            self.load(checkpoint)
        if checkpoint and self.is_deepspeed_enabled:
            with without_wildcards(checkpoint) as path:
                self.train(resume_from_checkpoint=str(path))
        else:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """Load weights by the names of the hub; transformers' own method skips those it does not know."""
        checkpoint = Path(resume_from_checkpoint)
        assert self.model is not None
        if self.is_fsdp_enabled:
            check_cut(self.model, checkpoint)
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore_weights(self.model, checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        path = next(Path(checkpoint).glob(f"{OPTIMIZER}.*"), Path(checkpoint))
        assert self.model is not None
        with blaming_file(path), without_state(self.model, path) if self.is_fsdp_enabled else nullcontext():
            super()._load_optimizer_and_scheduler(checkpoint)
        if not self.is_deepspeed_enabled and not self.is_fsdp_enabled:
            assert self.optimizer is not None
            check_optimizer(getattr(self.optimizer, "optimizer", self.optimizer), path)

    def _layout(self) -> str:
        """Return how the model is sharded over the devices, in the same words as the function `_layout`."""
        if self.is_deepspeed_enabled:
            return f"zero3 in {self.args.world_size} processes"
        return "fsdp2" if self.is_fsdp_enabled else ""

    def save(self, folder: Path) -> None:
        """Write into a checkpoint what a stage needs to resume, beside TRL's files."""

    def load(self, folder: Path) -> None:
        """Read from a checkpoint what `save` wrote."""

    def create_model_card(self, *args: object, **options: object) -> None:
        """Write no card: a run has a report."""


@contextmanager
def without_wildcards(checkpoint: Path) -> Iterator[Path]:
    """Yield a path to a checkpoint that means the same when it is read as a pattern.

    DeepSpeed and transformers search its folder with `glob`, and do not escape the path: in a folder such as
    ``[exp]`` they find nothing. A temporary link takes the place of such a path.
    """
    if glob.escape(str(checkpoint)) == str(checkpoint):
        yield checkpoint
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / checkpoint.name
        link.symlink_to(checkpoint.absolute())
        yield link


def _layout(checkpoint: Path) -> str:
    """Return how the model and the optimizer of a checkpoint are sharded; "" where they are whole."""
    if parts := [*checkpoint.glob("global_step*/*_optim_states.pt")]:
        return f"zero3 in {len(parts)} processes"
    return "fsdp2" if [*checkpoint.glob("pytorch_model_fsdp*")] else ""


def _held(weights: torch.Tensor) -> torch.Tensor:
    """Return the part of a parameter that this process holds. Under ZeRO-3 it is a shard without padding."""
    part: torch.Tensor | None = getattr(weights, "ds_tensor", None)
    if part is None:
        return weights
    size: int = getattr(weights, "ds_numel")  # noqa: B009 - an attribute that DeepSpeed adds
    return part[: max(0, size - torch.distributed.get_rank() * part.numel())]


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a stage, oldest first. A folder such as ``checkpoint-4-copy`` is none."""
    folders = list[Path]()
    for path in folder.glob("checkpoint-*"):
        _, _, number = path.name.partition("-")
        if number.isdecimal():
            folders.append(path)
    return sorted(folders, key=step_number)


def step_number(checkpoint: Path) -> int:
    """Return the number of steps that were trained before a checkpoint."""
    return int(checkpoint.name.partition("-")[2])
