"""The perception-enhanced cold start (arXiv:2505.13426, section 4): replies that begin with the perception.

By TRL's `SFTTrainer`, on rows of `data`. Only the tokens of the reply carry loss, and no picture is cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datasets import Dataset
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PreTrainedModel, ProcessorMixin
from trl import SFTConfig, SFTTrainer

from .data.parquet import open_rows
from .data.sampling import TaskBatches
from .learners.checkpoints import Whole
from .models.restoring import STATE, blaming_file, read_entries
from .planning.context_length import context_length

if TYPE_CHECKING:
    from peft import PeftConfig

DataRow = dict[str, object]
"""A row of the file, as `datasets` reads it."""


class ColdStartTrainer(Whole, SFTTrainer):
    """TRL's trainer on the rows of a cold start."""

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        args: SFTConfig,
        data: Path,
        peft_config: "PeftConfig | None" = None,
    ) -> None:
        """Train a model, or the adapters that `peft_config` describes, on a file of rows."""
        super().__init__(
            model=model,
            args=args,
            train_dataset=open_rows(data),
            processing_class=processor,
            peft_config=peft_config,
        )
        # TRL's loss averages over all tokens of a batch if given their number, else part by part.
        self.model_accepts_loss_kwargs = True
        end = processor.tokenizer.eos_token_id
        self.data_collator = ReplyCollator(self.data_collator, end, context_length(model.config))
        self.by_task = False

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        """Return the order of the rows: TRL's, or micro-batches of one task each if `by_task` is set."""
        if not self.by_task:
            return super()._get_train_sampler(train_dataset)
        assert isinstance(self.train_dataset, Dataset)
        columns = self.train_dataset.with_format(None).select_columns(["game", "reasoning", "perception"])
        tasks = [tuple(row.values()) for row in columns]
        return TaskBatches(tasks, self.args.per_device_train_batch_size, self.args.seed)

    def go_on(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one. Restores the token count, unlike TRL."""
        if checkpoint:
            state = checkpoint / STATE
            past = read_entries(state, log_history=list)["log_history"]
            with blaming_file(state):
                self._total_train_tokens = int(past[-1]["num_tokens"])
        super().go_on(checkpoint)


@dataclass(frozen=True)
class ReplyCollator:
    """TRL's collator, with loss up to the token that ends the reply: templates write a new line after it.

    Raises `ValueError` for rows that are longer than the model has positions: to cut them would cut pictures.
    """

    collate: Callable[[list[DataRow]], dict[str, Tensor]]
    end: int
    """The token that ends a reply."""
    room: int | None

    def __call__(self, examples: list[DataRow]) -> dict[str, Tensor]:
        """Make a batch; ``labels`` are -100 where there is no loss."""
        batch = self.collate(examples)
        labels = batch["labels"]  # (B, L)
        if self.room and labels.shape[1] > self.room:
            raise ValueError(
                f"a row of the cold start has {labels.shape[1]} tokens, and the model {self.room} positions"
            )
        ends = (labels == self.end).long()  # (B, L), 1 at the end of a reply
        # Behind the first end, more ends have been counted than stand at the token itself.
        return {**batch, "labels": labels.masked_fill(ends.cumsum(1) > ends, -100)}
