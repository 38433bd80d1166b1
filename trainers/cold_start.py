"""The perception-enhanced cold start (arXiv:2505.13426, section 4): replies that first tell what is seen.

By TRL's `SFTTrainer`, on rows of `data`. Only the tokens of the reply carry loss, and no picture is cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin
from trl import SFTConfig, SFTTrainer

from .data.parquet import rows
from .learners.checkpoints import Whole
from .models.restoring import STATE, entries, naming
from .planning.room import room


class ColdStartTrainer(Whole, SFTTrainer):
    """TRL's trainer on the rows of a cold start."""

    def __init__(
        self, model: PreTrainedModel, processor: ProcessorMixin, args: SFTConfig, data: Path, **options: Any
    ) -> None:
        """Train a model on a file of rows; `options` are those of `SFTTrainer`."""
        super().__init__(
            model=model, args=args, train_dataset=rows(data), processing_class=processor, **options
        )
        # TRL's loss averages over all tokens of a batch if given their number, else part by part.
        self.model_accepts_loss_kwargs = True
        end = processor.tokenizer.eos_token_id
        self.data_collator = Replies(self.data_collator, end, room(model.config))

    def go_on(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one. Restores the token count, unlike TRL."""
        if checkpoint:
            state = checkpoint / STATE
            past = entries(state, log_history=list)["log_history"]
            with naming(state):
                self._total_train_tokens = int(past[-1]["num_tokens"])
        super().go_on(checkpoint)


@dataclass(frozen=True)
class Replies:
    """What TRL makes of rows, with loss up to the end of the reply: templates write a new line after it.

    Raises `ValueError` for rows that are longer than the model has positions: to cut them would cut pictures.
    """

    collate: Callable[[list[Any]], dict[str, Any]]
    end: int
    """The token that ends a reply."""
    room: int | None

    def __call__(self, examples: list[Any]) -> dict[str, Any]:
        """Make a batch; ``labels`` are -100 where there is no loss."""
        batch = self.collate(examples)
        labels = batch["labels"]
        if self.room and labels.shape[1] > self.room:
            raise ValueError(
                f"a row of the cold start has {labels.shape[1]} tokens, and the model {self.room} positions"
            )
        ends = (labels == self.end).long()
        return {**batch, "labels": labels.masked_fill(ends.cumsum(1) > ends, -100)}
