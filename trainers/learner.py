"""The interface between the method and the engine that trains: completions and four methods.

`grpo` is written against `Learner` alone. `learners.trl_learner` is the implementation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from vlm_gym.rollouts.policy import Request

from .losses import SFTExample
from .models.encoding import Prompt
from .rewards import Grade
from .start_states import Start


@dataclass(frozen=True, kw_only=True, eq=False)
class Completion:
    """A reply to a position, from its sampling to the update. T is its number of tokens."""

    request: Request
    prompt: Prompt
    """The request as the model reads it. The completions of a group share one."""
    ids: Sequence[int]
    """(T,): the tokens, with the one that ends the reply."""
    logprobs: Sequence[float | None] | None = None
    """(T,): log-probabilities at sampling, where the sampler returns them."""
    text: str
    start: Start | None = None
    """The start state that the method dealt."""
    grade: Grade | None = None
    advantages: Tensor | None = None
    """() or (T,): the advantage of all tokens, or of each."""

    @property
    def terms(self) -> Mapping[str, float]:
        """The reward terms, by name."""
        assert self.grade is not None
        return self.grade.terms


class Learner(Protocol):
    """A model that learns from completions."""

    def sample(self, requests: Sequence[Request], n: int) -> list[list[Completion]]:
        """Sample n completions of each request. Every process has to call it equally often."""
        ...

    def update(
        self,
        batch: Sequence[Completion],
        numbers: Mapping[str, Sequence[float]],
        examples: Sequence[SFTExample] = (),
    ) -> None:
        """Update the model by a graded batch, in which the completions of a group stand together.

        `numbers` are logged as means over all processes; `examples` are for the second loss.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write into a checkpoint what training needs to resume."""
        ...

    def load(self, folder: Path) -> None:
        """Restore a checkpoint that `save` wrote into."""
        ...


class Method(Protocol):
    """The callbacks of an engine that runs the loop itself: one step, and the state of the method."""

    def step(self, learner: Learner, numbers: Sequence[int]) -> None:
        """Make one batch and update the learner by it. `numbers`, (P,), are those of the groups."""
        ...

    def save(self, folder: Path) -> None:
        """Write the state of the method."""
        ...

    def load(self, folder: Path) -> None:
        """Read the state of the method."""
        ...
