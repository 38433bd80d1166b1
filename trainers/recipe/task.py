"""The keys of ``[[task]]``: games at a level of each axis, and the source of their positions."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Annotated

from vlm_gym.config import Within
from vlm_gym.game import GameKnobs, State
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.render import Look, look
from vlm_gym.rollouts.policy import PastTurn, Request
from vlm_gym.rollouts.states import Mixture

from .ranges import Amount, Moves


@dataclass(frozen=True, kw_only=True)
class Task:
    """A game of the run, at one level of either axis, as `knobs.spell` spells them."""

    game: str
    reasoning: str = "2"
    perception: str = "0"
    weight: Annotated[float, Within(0, above=True)] = 1.0
    """Share of this task beside others."""
    moves: Moves = 100
    """Moves that walks and the solver make, at most, before a position is taken."""

    def __post_init__(self) -> None:
        _ = self.knobs, self.look  # raises where there is no such level

    @property
    def knobs(self) -> GameKnobs:
        """The reasoning knobs."""
        return find(self.game).settle(self.reasoning)

    @property
    def look(self) -> Look:
        """The perception knobs."""
        return look(self.perception)

    def request(self, state: State, past: tuple[PastTurn, ...] = ()) -> Request:
        """Return the request for a position, with the same text and pictures as in evaluation."""
        game = find(self.game)
        return Request(game, state, self.look, len(past), instructions(game, state.knobs), past)

    def mixture(self, shares: "Shares", **knobs: str) -> Mixture:
        """Return the mixture that positions are sampled from. `knobs` replace those of the level."""
        reasoning = self.reasoning if "=" in self.reasoning else f"level={self.reasoning}"
        spelled = ",".join([reasoning, *(f"{name}={value}" for name, value in knobs.items())])
        return Mixture(
            game=self.game,
            reasoning=spelled if knobs else self.reasoning,
            weight=self.weight,
            moves=self.moves,
            **asdict(shares),
        )


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Where positions come from: how much of each kind of play. See `vlm_gym.rollouts.states`."""

    fresh: Amount = 0.0
    walk: Amount = 1.0
    solver: Amount = 0.0
    on_policy: Amount = 0.0
    """Of the games that the policy plays during the run."""


def some_above(key: str, shares: Shares) -> None:
    """Check that a share is above 0. Raises `ValueError` that names the place."""
    if not any(asdict(shares).values()):
        raise ValueError(f"{key} are all 0; one of them has to be above")


def divide(count: int, weights: Sequence[float], rounded: Callable[[float], int] = round) -> list[int]:
    """Divide a count by weights into whole numbers with this sum.

    Share k ends at ``rounded(count * (w_0 + ... + w_k) / sum(weights))``, so no share is off by 1 or more.
    """
    whole = sum(weights)
    ends = [rounded(count * sum_so_far / whole) for sum_so_far in accumulate(weights[:-1])]
    return [end - start for start, end in pairwise([0, *ends, count])]
