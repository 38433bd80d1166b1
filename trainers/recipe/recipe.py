"""A recipe: all sections of a training run, and the checks across sections."""

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from vlm_gym.config import Within
from vlm_gym.evaluation.suite import Decoding, Part, Suite
from vlm_gym.masking import masked
from vlm_gym.registry import find
from vlm_gym.rollouts.history import History, Replies

from .cold_start_keys import ColdStart, Data
from .grpo_keys import Anchor, Grpo
from .model import Model
from .ranges import Amount, Size
from .tables import Table
from .task import Task


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Evaluation on held-out episodes after every stage, beside baselines."""

    episodes: Size = 50
    """Of each task."""
    turns: Size | None = None
    """Turn limit, in place of that of the level."""
    temperatures: tuple[Amount, ...] = (0.0, 1.0)
    """How models decode; each gets a table of its own. 0 is greedy."""
    max_tokens: Size = 1024
    batch: Size = 64

    def __post_init__(self) -> None:
        if len(set(self.temperatures)) < len(self.temperatures):
            raise ValueError(f"evaluation.temperatures={list(self.temperatures)} names one twice")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run. Without ``[cold_start]`` it is GRPO alone, without ``[grpo]`` the cold start alone."""

    about: str = ""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    model: Model = field(default_factory=Model)
    task: tuple[Task, ...]
    data: Data = field(default_factory=Data)
    cold_start: ColdStart | None = None
    grpo: Grpo | None = None
    evaluation: Measure | None = None
    history: Annotated[int, Within(0, 8)] | None = None
    """Turns before the present one that a request shows, with pictures, replies and feedback: in the cold
    start, GRPO and evaluation alike. Without it, games that need memory show `REMEMBERED` turns."""
    history_replies: Replies = "whole"
    """How the replies of those turns are shown: whole, or their answer alone."""
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()
    """Where numbers go beside ``metrics.jsonl``."""
    processes: Annotated[int, Within(1, 4_096)] = 1
    """Processes that train without a GPU, unless the command says how many."""
    threads: Annotated[int, Within(0, 1_024)] = 0
    """Threads of torch; 0: as many as it likes."""

    def __post_init__(self) -> None:
        anchor = self.grpo.anchor if self.grpo else Anchor()
        if anchor.weight and anchor.source == "cold_start" and self.cold_start is None:
            raise ValueError(
                'grpo.anchor.source="cold_start" takes a [cold_start], whose rows it learns from'
            )
        if not self.task:
            raise ValueError("a recipe takes one [[task]] or more")
        if len({(task.game, task.knobs, task.look) for task in self.task}) < len(self.task):
            raise ValueError("a [[task]] is there twice; give one a larger weight instead")
        if self.cold_start is None and self.grpo is None:
            raise ValueError("a recipe takes [cold_start], [grpo] or both")
        for task in self.task:
            if self.data.recoveries and not self.context.count(find(task.game)):
                raise ValueError(
                    f"data.recoveries={self.data.recoveries} takes a history of 1 or more, so that "
                    f"{task.game} shows the wrong move"
                )
        if self.grpo and self.grpo.ahead:
            self._check_ahead(self.grpo.ahead)
        stages = [stage for stage in (self.cold_start, self.grpo) if stage is not None]
        if self.model.lora and any(stage.optimizer != "adamw" for stage in stages):
            raise ValueError("model.lora takes the optimizer adamw; muon is for whole matrices")
        if self.evaluation is not None:
            try:
                self.suite(self.evaluation, 0.0)
            except ValueError as error:
                raise ValueError(f"[evaluation]: {error}") from error

    def _check_ahead(self, ahead: int) -> None:
        """Raise `ValueError` if no play has as many turns left as credit looks ahead."""
        for task in self.task:
            longest = min(self.turns, task.knobs.turns)
            if ahead >= longest:
                raise ValueError(
                    f"grpo.ahead={ahead} is beyond the {longest} turns that a play of {task.game} "
                    f"{task.reasoning} has at most"
                )

    @property
    def context(self) -> History:
        """What a request shows of the turns before."""
        return History(self.history, self.history_replies)

    @property
    def turns(self) -> int:
        """The number of turns of each play of a group."""
        asked = self.grpo.turns if self.grpo else "one"
        if asked == "all":
            return max(task.knobs.turns for task in self.task)
        return 1 if asked == "one" else asked

    @property
    def games(self) -> list[str]:
        """The games that are played."""
        return list(dict.fromkeys(task.game for task in self.task))

    def suite(self, asked: Measure, temperature: float) -> Suite:
        """Return the suite that is played after a stage. Raises `ValueError` for an invalid turn limit."""
        parts = list[Part]()
        for task in self.task:
            part = Part(
                games=(task.game,),
                perception=(task.perception,),
                reasoning=(task.reasoning,),
                episodes=asked.episodes,
                turns=asked.turns,
            )
            parts.append(part)
        decoding = Decoding(temperature=temperature, max_tokens=asked.max_tokens, seed=self.seed)
        return Suite(
            about=self.about,
            part=tuple(parts),
            history=self.history,
            history_replies=self.history_replies,
            decoding=decoding,
        )

    def resolved(self) -> Table:
        """Return the recipe as plain data, which `build` reads back. Masks credentials in addresses."""
        plain: Table = json.loads(json.dumps(asdict(self)))
        options = plain["data"]["options"]
        if isinstance(options.get("base_url"), str):
            options["base_url"] = masked(options["base_url"])
        return plain
