"""TRL's GRPO trainer, with what the replies of a group share prepared and run once: prompt and picture.

Overrides private methods of TRL 1.16.
"""

from typing import Any

import torch
from transformers import PreTrainedModel, ProcessorMixin
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation

from vlm_gym.rollouts.policy import Request

from .checkpoints import Whole
from .prompts import begin, of_groups, write
from .timing import Timed


class Sharing(Timed, Whole, GRPOTrainer):
    """A trainer that is told which positions its groups reply to.

    TRL prepares and runs prompt and picture for every reply. It still does where a model lies in parts on
    several devices, and for a loss where gradients are checkpointed.
    """

    asked: list[Request]
    """What replies are written to now, one a group."""
    answered: list[Request]
    """What the replies of a batch answer, one a group."""

    def __init__(
        self, model: PreTrainedModel, processing_class: ProcessorMixin, args: GRPOConfig, **options: Any
    ) -> None:
        """Make a trainer; `options` are those of `GRPOTrainer`."""
        self.asked, self.answered = [], []
        self.group_size, self._whose = int(args.num_generations or 1), torch.empty(0, dtype=torch.long)
        super().__init__(model=model, processing_class=processing_class, args=args, **options)
        # A model that lies in parts on several devices is run as TRL runs it, from its root and as a whole.
        self._parted = self.is_fsdp_enabled or self.is_deepspeed_enabled
        self._sharing = not (args.gradient_checkpointing or self.aux_loss_enabled or self._parted)
        passes = (args.steps_per_generation or 1) * self.num_iterations
        corrected = self.use_vllm and self.vllm_importance_sampling_correction
        # TRL computes log-probabilities of other models than the one that learns in its own way.
        again = self.beta or args.gradient_accumulation_steps % passes or corrected
        self._bare = self._sharing and not again

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        batch["group"] = torch.arange(len(inputs), device=self.accelerator.device) // self.group_size
        return batch

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        """Give pictures back only where TRL runs them itself: it would prepare each for every reply."""
        *rest, pictures, of_tools = super()._generate(prompts)
        return *rest, None if self._bare else pictures, of_tools

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._whose = inputs["group"]
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        return loss

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, keep: int, **options: Any
    ) -> Any:
        if not self._sharing or not options.get("compute_entropy"):  # which is asked for by a loss alone
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, keep, **options
            )
        replies, own = input_ids[:, -keep:], attention_mask[:, -keep:]
        with self.accelerator.autocast():
            told = of_groups(model, self.processing_class, self.answered, self._whose, replies, own)
        return *told, None

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Prepare what is one and the same prompt once; its pictures are prepared where they are run."""
        if self._parted and not self.use_vllm:
            whole: tuple[list[Any], list[Any], dict[str, Any]] = super()._tokenize_prompts(prompts)
            return whole
        each = {id(prompt): prompt for prompt in prompts}
        ids, pictures, _ = super()._tokenize_prompts(list(each.values()))
        place = {key: at for at, key in enumerate(each)}
        order = [place[id(prompt)] for prompt in prompts]
        return [ids[at] for at in order], [pictures[at] for at in order], {}

    def _generate_single_turn(self, *args: Any, **options: Any) -> Any:
        with self.timed("generation"), self.drawing():
            if self.use_vllm or self._parted:
                return super()._generate_single_turn(*args, **options)
            return self._write(), None

    def _write(self) -> list[list[int]]:
        """Have transformers write replies to what is asked, with each prompt run once for its group."""
        assert isinstance(self.args, GRPOConfig)
        recomputing = self.args.gradient_checkpointing_kwargs
        assert not isinstance(recomputing, str)
        device = self.accelerator.device
        whose = torch.arange(len(self.asked), device=device).repeat_interleave(self.group_size)
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=recomputing,
            ) as model,
            torch.no_grad(),
            self._dist.summon_full_params(self.model_wrapped, recurse=False),
        ):
            begun = begin(model, self.processing_class, self.asked, whose)
            tokens = write(model, begun, self.generation_config).cpu()
        ends = torch.isin(tokens, torch.tensor(self.eos_token_ids)).long()
        return [row[kept].tolist() for row, kept in zip(tokens, ends.cumsum(dim=1) <= ends, strict=True)]
