"""The perception-enhanced cold start (arXiv:2505.13426, section 4): replies that first tell what is seen.

By TRL's `SFTTrainer`, on rows of `data`. Only the tokens of the reply carry loss, and no picture is cut.
"""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin
from trl import SFTConfig, SFTTrainer

from .checkpoints import Whole
from .data import rows


class Imitation(Whole, SFTTrainer):
    """TRL's trainer on the rows of a cold start."""

    def __init__(
        self, model: PreTrainedModel, processor: ProcessorMixin, args: SFTConfig, data: Path, **options: Any
    ) -> None:
        """Train a model on a file of rows; `options` are those of `SFTTrainer`."""
        super().__init__(
            model=model, args=args, train_dataset=rows(data), processing_class=processor, **options
        )
