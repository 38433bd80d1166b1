"""TRL's GRPO trainer as a learner: its loss, loop, engines and checkpoints, on completions that we made.

Two private methods of TRL 1.16 are overridden. `_generate_and_score_completions` calls the method, which
samples, grades and hands over a batch by `update`; TRL's loop then makes the optimizer steps on its parts.
`_compute_loss` shows the model the pictures of a part and adds the second loss.

P prompts of a process, G completions of each, B = P * G, T tokens.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel, ProcessorMixin
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from vlm_gym.rollouts.policy import Request

from ..learner import Completion, Method
from ..losses import SFTExample, count_tokens, encode_examples
from ..models.encoding import Prompt, collate, encode_prompt
from ..recipe import Grpo
from .checkpoints import Whole
from .correction import importance_ratio, log_correction, sampled_logprobs
from .engines import keep_fresh, vllm_tokens
from .logs import log_lengths, log_numbers, log_rewards, log_table
from .metrics_by_game import MetricsByGame, of_tokens
from .phase_times import Timed
from .tensors import Batch, Scorer, ScoringModel, advantages_of, to_batch

if TYPE_CHECKING:
    from peft import PeftConfig


class TrlLearner(Timed, Whole, GRPOTrainer):
    """A learner whose loop is TRL's: `go_on` trains to the end, and calls `method` for every batch."""

    args: GRPOConfig
    model: PreTrainedModel
    processing_class: ProcessorMixin
    num_generations: int
    pad_to_multiple_of: int | None

    def __init__(
        self,
        asked: Grpo,
        games: Sequence[str],
        method: Method,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        args: GRPOConfig,
        peft_config: "PeftConfig | None" = None,
    ) -> None:
        """Make a trainer of a model, or of the adapters that `peft_config` describes."""
        self.method = method
        self._asked = asked
        self._metrics_by_game = MetricsByGame(games)
        self._batch: Batch | None = None
        self._examples: Sequence[SFTExample] = ()
        self._example_tokens = 0.0
        count = args.max_steps * asked.prompts_per_step
        super().__init__(
            model=model,
            reward_funcs=_graded_elsewhere,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [""] * count, "number": range(count)}),
            processing_class=processor,
            peft_config=peft_config,
        )
        # A model that is sharded over several devices is run from its root as a whole.
        self.in_parts = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if self.use_vllm:
            keep_fresh(self.vllm_generation)

    def sample(self, requests: Sequence[Request], n: int) -> list[list[Completion]]:
        """Sample n completions of each request, (P, n), by transformers or vLLM."""
        with self.timed("environment"):
            frames = [request.pictures() for request in requests]
        with self.timed("generation"), self.drawing():
            prompts = list[Prompt]()  # (P,)
            for request, drawn in zip(requests, frames, strict=True):
                prompts.append(encode_prompt(self.processing_class, request, self.accelerator.device, drawn))
            ids, logprobs = self.write(requests, prompts, n)  # (P * n,) lists of T numbers, T of its own each
            texts = self.processing_class.batch_decode(ids, skip_special_tokens=True)
            completions = list[Completion]()  # (P * n,)
            for row, text in enumerate(texts):
                index = row // n  # replies to one prompt stand together
                completion = Completion(
                    request=requests[index],
                    prompt=prompts[index],
                    ids=ids[row],
                    logprobs=None if logprobs is None else logprobs[row],
                    text=text,
                )
                completions.append(completion)
            log_lengths(self, completions)
        groups = list[list[Completion]]()
        for first in range(0, len(completions), n):
            groups.append(completions[first : first + n])
        return groups

    def update(
        self,
        batch: Sequence[Completion],
        numbers: Mapping[str, Sequence[float]],
        examples: Sequence[SFTExample] = (),
    ) -> None:
        """Hand a graded batch, (B,), to TRL's loop, which updates the model by it next."""
        with self.timed("update"):
            self._batch = self._tensors(batch)  # TRL asks for it in `_generate_and_score_completions`
            self._examples = examples
            if examples:
                # The mean over processes: each divides by it, and the gradients are averaged after that.
                count = float(count_tokens(self.processing_class, examples))
                counts = self.accelerator.gather(torch.tensor([count], device=self.accelerator.device))
                self._example_tokens = float(counts.mean())
        log_rewards(self, batch, self._asked.weights, self.num_generations)
        log_numbers(self, numbers)
        log_table(self, batch, self._asked.weights)

    def save(self, folder: Path) -> None:
        """Write the state of the method; TRL's loop writes weights and optimizer beside it."""
        self.method.save(folder)

    def load(self, folder: Path) -> None:
        """Read the state of the method; TRL's loop reads the rest."""
        self.method.load(folder)

    def _generate_and_score_completions(self, inputs: list[dict[str, object]]) -> dict[str, object]:
        """Return a batch that the method makes. `inputs`, (B,), hold the numbers of their groups."""
        # TRL's sampler repeats the row of a group G times in a row.
        numbers = list[int]()  # (P,)
        for row in inputs[:: self.num_generations]:
            number = row["number"]
            assert isinstance(number, int)
            numbers.append(number)
        with self.timed("environment"):
            self.method.step(self, numbers)
        assert self._batch is not None  # the method calls `update` in each step
        batch = dict[str, object](self._batch)
        self._batch = None
        return batch

    def _compute_loss(self, model: nn.Module, inputs: Batch) -> Tensor:
        """Compute TRL's loss of a part of the batch, and the second loss of a part of the examples."""
        parts = int(self.args.steps_per_generation or 1)
        examples = self._examples[self._step % parts :: parts]  # with small parts some have none
        scorer = self.scorer(model, inputs, examples)
        loss: Tensor = super()._compute_loss(scorer, inputs)
        assert scorer.answer is not None  # TRL's loss has called it
        length = inputs["completion_ids"].shape[1]
        logprobs = scorer.answer.log_probs[:, -length:].detach()  # (B, T)
        entropies = scorer.answer.entropy[:, -length:].detach()  # (B, T)
        numbers = of_tokens(self.args, inputs, logprobs, entropies)  # (B, T) each
        games = [completion.request.game.name for completion in inputs["completions"]]
        self._metrics_by_game.add(numbers, inputs["completion_mask"], games)
        if not self._examples:
            return loss
        cross_entropy = scorer.cross_entropy
        if cross_entropy is None:
            cross_entropy = self._cross_entropy(model, examples) if examples else torch.zeros_like(loss)
        # Tokens weigh the same however a batch is split into parts.
        known = cross_entropy * parts / self._example_tokens
        self._metrics["train"]["anchor_loss"].append(self.accelerator.gather(known.detach()).mean().item())
        # The gradients of the parts of a step are added up, so each part counts by its share.
        return loss + self._asked.anchor.weight / self.current_gradient_accumulation_steps * known

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what TRL counts, and what it counts by game."""
        if "loss" in logs:
            logs |= self._metrics_by_game.means(self.accelerator)
        super().log(logs, start_time)

    def scorer(self, model: nn.Module, inputs: Batch, examples: Sequence[SFTExample]) -> ScoringModel:
        """Return the model as TRL's loss calls it on a part of the batch.

        It may run on `examples` of the second loss as well.
        """
        return Scorer(model, inputs["completions"], inputs["prompt_ids"].shape[1])

    def write(
        self, requests: Sequence[Request], prompts: Sequence[Prompt], n: int
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        """Sample n replies to each prompt, (P * n,) of T tokens each, and their log-probabilities, by TRL."""
        rows = list[Prompt]()  # (P * n,)
        for prompt in prompts:
            rows += [prompt] * n
        if not self.use_vllm:
            inputs = collate(rows, self._tokenizer.pad_token_id)
            fields = dict(inputs)  # what the model takes beside the tokens
            del fields["input_ids"], fields["attention_mask"]
            ids, logprobs = self._generate_single_turn([row.ids for row in rows], None, fields, n)
            return ids, logprobs
        pictures = []  # of each row
        for row in rows:
            pictures.append([Image.fromarray(frame) for frame in row.frames])
        server = self.vllm_generation.mode == "server"
        tokens = list[list[int]]()  # (P * n,)
        for request, prompt in zip(requests, prompts, strict=True):
            # The server takes the visual tokens of the processor; the engine inserts them by itself.
            asked = prompt.ids if server else vllm_tokens(self.processing_class, request)
            tokens += [list(asked) for _ in range(n)]
        ids, logprobs = self._generate_single_turn(tokens, pictures, {}, n)
        return ids, logprobs

    def _tensors(self, completions: Sequence[Completion]) -> Batch:
        """Make TRL's batch, with log-probabilities from before the update where its loss needs them."""
        device = self.accelerator.device
        batch = to_batch(completions, self._tokenizer.pad_token_id, self.pad_to_multiple_of, device)
        mask = batch["completion_mask"]
        if self.mask_truncated_completions:
            ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
            ended = [completion.ids[-1] in ends for completion in completions]
            mask = mask * torch.tensor(ended, device=device).unsqueeze(1).int()
            batch["completion_mask"] = mask
        batch["advantages"] = advantages_of(completions, mask.shape[1], device)
        batch["num_items_in_batch"] = self.accelerator.gather(mask.sum()).sum()
        sampled = sampled_logprobs(completions, self.pad_to_multiple_of, device)
        corrected = self.use_vllm and self.vllm_importance_sampling_correction
        recomputing = self.args.gradient_checkpointing_kwargs
        assert not isinstance(recomputing, str)
        with torch.no_grad(), disable_gradient_checkpointing(self.model, recomputing):
            # Completions may be off-policy if updates do not end with their batch.
            passes = int(self.args.steps_per_generation or 1) * self.num_iterations
            if corrected or self.args.gradient_accumulation_steps % passes:
                batch["old_per_token_logps"] = self._logprobs(self.model, batch)
            if self.beta:
                batch["ref_per_token_logps"] = self._reference_logprobs(batch)
        if sampled is not None:
            batch["sampling_per_token_logps"] = sampled
        if corrected:
            assert sampled is not None
            old = batch["old_per_token_logps"]
            ratio = importance_ratio(self.args, old, sampled, mask)
            batch["importance_sampling_ratio"] = ratio
            log_correction(self, old, sampled, ratio, mask)
        return batch

    def _reference_logprobs(self, batch: Batch) -> Tensor:
        """Compute log-probabilities, (B, T), of the policy that training started from."""
        if self.ref_model is not None:
            return self._logprobs(self.ref_model, batch)
        model = self.accelerator.unwrap_model(self.model)
        with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
            return self._logprobs(self.model, batch)

    def _logprobs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute log-probabilities, (B, T), a part at a time as in the update."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        prompt = batch["prompt_ids"].shape[1]
        length = batch["completion_ids"].shape[1]
        size = self.args.per_device_train_batch_size
        parts = list[Tensor]()
        for first in range(0, len(ids), size):
            rows = slice(first, first + size)
            scorer = Scorer(model, batch["completions"][rows], prompt)
            logprobs, _, _ = self._get_per_token_logps_and_entropies(scorer, ids[rows], mask[rows], length)
            parts.append(logprobs)
        return torch.cat(parts)

    def _cross_entropy(self, model: nn.Module, examples: Sequence[SFTExample]) -> Tensor:
        """Compute the cross-entropy of examples, summed over tokens."""
        prompts = list[Prompt]()
        for each in examples:
            prompts.append(each.prompt or encode_prompt(self.processing_class, each.request))
        inputs = encode_examples(self.processing_class, examples, prompts)
        with self.accelerator.autocast():
            answer = model(**{name: value.to(self.accelerator.device) for name, value in inputs.items()})
        cross_entropy: Tensor = answer.loss * (inputs["labels"] >= 0).sum()
        return cross_entropy


def _graded_elsewhere(**_: object) -> list[float]:
    """Stand for the reward function that TRL asks for; the method grades."""
    raise AssertionError("completions are graded by the method")
