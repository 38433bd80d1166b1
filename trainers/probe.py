"""Metrics of a model at each checkpoint: greedy replies to a few fixed positions."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from accelerate import PartialState
from transformers import ProcessorMixin, Trainer
from trl.models import unwrap_model_for_generation

from vlm_gym.rollouts.policy import Request

from .distributed import shared
from .models.transformers_policy import encode_requests
from .recipe import Measure, Recipe
from .rewards import grade_completion
from .start_states import draw_positions

PROBE_POSITIONS = 24
"""Of each task."""
_STREAM = 0x9207E


class Probe:
    """Fixed positions of the training stream, and the metrics of greedy replies to them, by game."""

    def __init__(self, recipe: Recipe, asked: Measure) -> None:
        """Draw the positions from the mixture of the cold start; `asked` has the settings of decoding."""
        self._max_tokens = asked.max_tokens
        self._batch = asked.batch
        self._requests = list[Request]()
        for task in recipe.task:
            drawn = draw_positions(
                task, recipe.data.shares, PROBE_POSITIONS, recipe.seed ^ _STREAM, recipe.context
            )
            for position in drawn:
                self._requests.append(task.request(position.state, position.past))

    def __call__(self, trainer: Trainer) -> dict[str, float]:
        """Measure the model of a trainer: the terms of a reward, and the rates, as ``greedy/GAME/NAME``."""
        numbers = defaultdict[str, list[float]](list)
        replies = list[str]()
        size = self._batch * PartialState().num_processes
        for first in range(0, len(self._requests), size):  # no process has more than a batch of these
            replies += shared(self._requests[first : first + size], partial(self._reply, trainer))
        for request, reply in zip(self._requests, replies, strict=True):
            for name, value in grade_completion(request, reply).numbers().items():
                numbers[f"greedy/{request.game.name}/{name}"].append(value)
        return {name: sum(values) / len(values) for name, values in numbers.items()}

    def _reply(self, trainer: Trainer, requests: Sequence[Request]) -> list[str]:
        processor = trainer.processing_class
        assert isinstance(processor, ProcessorMixin)
        assert trainer.model is not None
        side = processor.tokenizer.padding_side
        processor.tokenizer.padding_side = "left"  # replies follow the prompts
        inputs = encode_requests(processor, requests).to(trainer.accelerator.device)
        processor.tokenizer.padding_side = side
        training = trainer.model.training
        with (
            unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model,
            torch.no_grad(),
        ):
            model.eval()
            output = model.generate(**inputs, max_new_tokens=self._max_tokens, do_sample=False)
        trainer.model.train(training)
        start = inputs["input_ids"].shape[1]  # output is (B, L + T)
        replies: list[str] = processor.batch_decode(output[:, start:], skip_special_tokens=True)
        return replies
