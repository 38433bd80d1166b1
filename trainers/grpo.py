"""Group-relative policy optimisation on what games pay (Shao et al., 2024, arXiv:2402.03300), by TRL.

The loss, the loop and the engines are those of TRL's `GRPOTrainer`. Here is what games add. Rows are numbers:
a step's positions are dealt when it begins, and drawn where they are shown. A group is a position and its
replies; rewards fork the position, so equal replies of a group earn equal rewards. Advantages can be
scaled by game, and groups whose replies all earn the same be drawn again. Overrides private methods of
TRL 1.16.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from PIL import Image
from transformers import PreTrainedModel, ProcessorMixin
from trl import GRPOConfig
from trl.data_utils import prepare_multimodal_messages

from .advantages import by_sections, by_sentences, spans
from .learners.by_game import ByGame, of_tokens
from .learners.engines import keep_fresh, keep_short
from .learners.shared_prompts import Sharing
from .losses import length, lesson
from .recipe import Recipe
from .rewards import PLAY, TERMS, Grade, grade
from .sections import centred, seen
from .start_states import Start, Starts

Row = dict[str, Any]
"""A reply to come: ``start``, ``request``, ``prompt`` with pictures; then ``words`` and ``grade``, too."""


class Grouped(Sharing):
    """TRL's trainer on positions of games."""

    def __init__(
        self,
        recipe: Recipe,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        args: GRPOConfig,
        **options: Any,
    ) -> None:
        """Train a model as `recipe.grpo` asks; `options` are those of `GRPOTrainer`."""
        assert recipe.grpo is not None
        self.starts, self._grpo, self._tasks = Starts(recipe, recipe.grpo), recipe.grpo, recipe.task
        self._rows, self._parts, self._truths = list[Row](), int(args.steps_per_generation or 1), 0.0
        self._games, self._sums = recipe.games, ByGame(recipe.games)
        self._tokens = torch.empty(0), torch.empty(0)
        count = args.max_steps * recipe.grpo.states
        super().__init__(
            model=model,
            reward_funcs=[_term(name) for name in TERMS],
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [""] * count, "number": range(count)}),
            processing_class=processor,
            **options,
        )
        if self.use_vllm:
            keep_fresh(self.vllm_generation)
            keep_short(self)

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        self._rows = inputs
        self._fill(range(len(inputs)))
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self._follow()
        games = [self._games.index(row["request"].game.name) for row in inputs]
        batch["game"] = torch.tensor(games, device=self.accelerator.device)
        if self._grpo.credit != "reply":
            batch["advantages"] = self._by_section(batch["completion_ids"], batch["completion_mask"])
        elif self._grpo.scale == "game":
            batch["advantages"] = self._by_game(batch["advantages"])
        if self._grpo.sight:
            count = length(self.processing_class, self.answered)
            counts = torch.tensor([float(count)], device=self.accelerator.device)
            self._truths = float(self.accelerator.gather(counts).mean())
        return batch

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        assert isinstance(self.args, GRPOConfig)
        numbers = of_tokens(self.args, inputs, *self._tokens)
        self._sums.add(numbers, inputs["completion_mask"], inputs["game"])
        if not self._grpo.sight:
            return loss
        # Tokens weigh the same however replies are split into parts; with small parts some have no position.
        told = torch.zeros_like(loss)
        if requests := self.answered[self._step % self._parts :: self._parts]:
            truth = lesson(self.processing_class, requests)
            share = int((truth["labels"] >= 0).sum()) * self._parts / self._truths
            with self.accelerator.autocast():
                answer = model(**{name: value.to(loss.device) for name, value in truth.items()})
            told = answer.loss * share
        self._metrics["train"]["sight_loss"].append(self.accelerator.gather(told.detach()).mean().item())
        return loss + self._grpo.sight / self.current_gradient_accumulation_steps * told

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **options)
        if options.get("compute_entropy"):  # for a loss
            self._tokens = found[0].detach(), found[1].detach()
        return found

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        """Have replies written and graded, and groups without a difference drawn again."""
        self.asked = self.answered
        answer: tuple[Any, ...] = super()._generate(prompts)
        self._grade(range(len(prompts)), answer[1], answer[3])
        for attempt in range(1, self._grpo.redraw + 1):
            dead = self._dead()
            # Every process has to take part in the same number of generations.
            count = int(
                self.accelerator.gather(torch.tensor([len(dead)], device=self.accelerator.device)).min()
            )
            again = [at for first in dead[:count] for at in range(first, first + self.group_size)]
            if not again:
                break
            self._fill(again, attempt)
            for at in again:
                prompts[at] = self._rows[at]["prompt"]
            self.asked = [self._rows[at]["request"] for at in again[:: self.group_size]]
            fresh = super()._generate([prompts[at] for at in again])
            for mine, new in zip(answer, fresh, strict=True):
                if isinstance(mine, list) and mine:
                    for at, value in zip(again, new, strict=True):
                        mine[at] = value
            self._grade(again, fresh[1], fresh[3])
        return answer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what TRL counts, and what it counts by game."""
        if "loss" in logs:
            logs |= self._sums.tell(self.accelerator)
        super().log(logs, start_time)

    def save_beside(self, folder: Path) -> None:
        """Keep the policy's own positions with the checkpoint."""
        self.starts.save(folder)

    def go_on(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one, and with the positions of that time."""
        if checkpoint:
            self.starts.load(checkpoint)
        super().go_on(checkpoint)

    def _fill(self, places: Sequence[int], attempt: int = 0) -> None:
        """Put positions into rows. Rows of one number are a group."""
        with self.timed("environment"):
            dealt, drawn = dict[int, list[Start]](), dict[int, list[Any]]()
            for at in places:
                number = self._rows[at]["number"]
                step, place = divmod(number, self._grpo.states)
                if step not in dealt:  # TRL may have replies to several steps written at once
                    dealt[step] = self.starts.deal(step, attempt)
                start = dealt[step][place]
                if number not in drawn:
                    frames = [Image.fromarray(frame) for frame in start.request.pictures()]
                    drawn[number] = prepare_multimodal_messages(start.request.messages(), images=frames)
                self._rows[at] |= {"start": start, "request": start.request, "prompt": drawn[number]}
            self.answered = [row["request"] for row in self._rows[:: self.group_size]]

    def _grade(
        self, places: Sequence[int], replies: Sequence[Sequence[int]], completions: Sequence[Any]
    ) -> None:
        with self.timed("environment"):
            grades = dict[tuple[int, str], Grade]()  # most replies of a group are written several times
            for at, ids, (message,) in zip(places, replies, completions, strict=True):
                row = self._rows[at]
                row["words"] = words = message["content"]
                if (which := (row["number"], words)) not in grades:
                    grades[which] = grade(row["request"], words, self._grpo.reward)
                row["grade"] = grades[which]
                game = row["request"].game.name
                for name, value in row["grade"].numbers().items():
                    self._log_metric(f"{game}/{name}", value)
                self._log_metric(f"{game}/reward", self._reward(row))
                self._log_metric(f"{game}/length", float(len(ids)))
            for first in range(0, len(places), self.group_size):
                rows = [self._rows[at] for at in places[first : first + self.group_size]]
                self._log_metric(f"{rows[0]['request'].game.name}/dead", float(self._equal(rows)))

    def _follow(self) -> None:
        """Let the policy's episodes go on, in every process from the replies of all."""
        size, rows = self.group_size, self._rows
        with self.timed("environment"):
            groups = [rows[at : at + size] for at in range(0, len(rows), size)]
            mine = [(rows[0]["start"], [row["words"] for row in rows]) for rows in groups]
            self.starts.follow(gather_object(mine))

    def _reward(self, row: Row, terms: Sequence[str] = TERMS) -> float:
        weights, earned = self._grpo.weights, row["grade"].terms
        return float(sum(getattr(weights, name) * earned[name] for name in terms))

    def _equal(self, group: Sequence[Row]) -> bool:
        """Tell whether all replies of a group earn the same, so that there is nothing to learn from it.

        With credit by section it is thought and play that teach nothing then, whatever was read.
        """
        terms = TERMS if self._grpo.credit == "reply" else (*PLAY, "thought")
        rewards = [self._reward(row, terms) for row in group]
        return max(rewards) - min(rewards) < 1e-6

    def _dead(self) -> list[int]:
        """List where groups begin whose replies all earn the same."""
        size = self.group_size
        return [at for at in range(0, len(self._rows), size) if self._equal(self._rows[at : at + size])]

    def _by_section(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Compute the advantages of tokens, (B, T), each by the terms that its section answers for."""
        with self.timed("environment"):
            by_sentence = self._grpo.credit == "sentence"
            thought_terms = PLAY if by_sentence else (*PLAY, "thought")
            replies = [row[kept].tolist() for row, kept in zip(ids.cpu(), mask.bool().cpu(), strict=True)]
            counts = seen(self._tokenizer, replies)
            graded = [row["grade"].sentences for row in self._rows]
            found = [
                spans(self._tokenizer, reply, count, sentences)
                for reply, count, sentences in zip(replies, counts, graded, strict=True)
            ]
            perception, thought, answer = (
                self._advantages(
                    torch.tensor([self._reward(row, terms) for row in self._rows]).to(ids.device)
                )
                for terms in (("perception",), thought_terms, PLAY)
            )
            advantages = by_sections(perception, thought, answer, found, ids.shape[1])
            if by_sentence:
                truth = by_sentences(graded, found, self.group_size, ids.shape[1])
                advantages = advantages + self._grpo.weights.thought * truth.to(ids.device)
            return advantages

    def _advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        """Compare rewards, (B,), within their groups."""
        advantages = centred(rewards, self.group_size, self._grpo.scale == "group")
        return self._by_game(advantages) if self._grpo.scale == "game" else advantages

    def _by_game(self, advantages: torch.Tensor) -> torch.Tensor:
        """Divide advantages by the spread of all groups of their task, over all processes."""
        tasks = torch.tensor([row["start"].task for row in self._rows], device=advantages.device)
        every, whose = self.accelerator.gather(advantages), self.accelerator.gather(tasks)
        spread = torch.ones(len(self._tasks), device=advantages.device)
        for task in whose.unique():
            spread[task] = every[whose == task].square().mean().sqrt() + 1e-4
        return advantages / spread[tasks]


def _term(name: str) -> Callable[..., list[float | None]]:
    """Make the reward function that TRL knows a term by."""

    def term(grade: Sequence[Any], **_: Any) -> list[float | None]:
        return [each.terms[name] for each in grade]

    term.__name__ = name
    return term
