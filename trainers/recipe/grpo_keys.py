"""The keys of ``[grpo]``: rewards, advantages, start states and the anchor loss."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from vlm_gym.config import Within

from ..rewards import weigh_terms
from .cold_start_keys import Optimizer
from .ranges import Amount, Finite, Size, Steps
from .tables import Table
from .task import Shares, some_above


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A second loss of GRPO, on known replies, against forgetting: cross-entropy, as in a cold start."""

    weight: Amount = 0.0
    source: Literal["perception", "teacher", "cold_start"] = "perception"
    """What is learned: the true perception of the step's positions, the whole reply of the game's teacher to
    them, or rows of the cold start."""


@dataclass(frozen=True, kw_only=True)
class Grpo:
    """Reinforcement learning by TRL's `GRPOTrainer`: group-relative policy optimisation."""

    steps: Steps = 400
    prompts_per_step: Size = 128
    """Positions a step, over all devices; TRL's ``num_generations`` is the number of replies to each."""
    shares: Shares = field(default_factory=Shares)
    episodes: Size = 64
    """Episodes of each task that the policy plays during the run, for the share ``on_policy``."""
    greedy: Annotated[float, Within(0, 1)] = 0.0
    """Share of those episodes that the most frequent outcome advances; a single reply advances the others."""
    reward: Literal["paper", "goal", "progress", "value"] = "paper"
    """The game's term, by its knob ``reward``. ``value`` is an earlier name of ``turn_credit = "solver"``."""
    weights: dict[str, Finite] = field(default_factory=dict)
    """What the terms of a reward count, by the names of `rewards.all_terms`; those that are left out have the
    weight that stands there."""
    scale: Literal["group", "game", "term", "none"] = "group"
    """What advantages are divided by: the spread of the group, of all groups of the game, of each term in its
    group (arXiv:2601.05242), or nothing."""
    advantage_by: Literal["reply", "section", "sentence"] = "reply"
    """What a reply's tokens answer for: all of them for the whole reward, as in the paper; or by section, the
    perception for its own term, the thought for its own and for the play, the answer for the play. By
    ``sentence``, each sentence of the thought answers for its own truth in place of the thought's term."""
    anchor: Anchor = field(default_factory=Anchor)
    """A second loss, on known replies."""
    turns: Literal["one", "all"] | Annotated[int, Within(1, 100_000)] = "one"
    """Turns of each play of a group: ``all`` is the longest turn limit of the tasks. A step has
    ``prompts_per_step * num_generations`` rows, whatever this is: ``prompts_per_step / turns`` groups of
    plays begin in it."""
    turn_credit: Literal["turn", "solver", "return", "gigpo", "graph", "ahead"] = "turn"
    """How a turn is credited with what the answer and the form of replies earn (`advantage_by`). With
    ``solver`` the game's term is the value lost by the solver's judgement; the last four use the turns of
    a play."""
    ahead: Annotated[int, Within(0, 1_000)] = 0
    """Turns that ``turn_credit = "ahead"`` looks ahead."""
    discount: Annotated[float, Within(0, 1)] = 0.9
    """The discount factor γ, applied once a turn."""
    illegal: Literal["costs", "ends"] = "costs"
    """What an illegal reply does in a play: it costs its turn, or ends the play."""
    dynamic_sampling: Annotated[int, Within(0, 255)] = 0
    """Times that zero-advantage groups are sampled again, with other positions (arXiv:2503.14476)."""
    save: Steps = 50
    """Steps between checkpoints."""
    optimizer: Optimizer = "adamw"
    trl: Table = field(default_factory=dict)
    """By the names of TRL's `GRPOConfig`."""

    def __post_init__(self) -> None:
        some_above("grpo.shares", self.shares)
        if self.reward == "value":
            if self.turn_credit not in ("turn", "solver"):
                raise ValueError(
                    'grpo.reward="value" is now grpo.turn_credit="solver"; choose that, or for '
                    f"grpo.turn_credit={self.turn_credit!r} another grpo.reward"
                )
            object.__setattr__(self, "reward", "goal")
            object.__setattr__(self, "turn_credit", "solver")
        try:
            object.__setattr__(self, "weights", weigh_terms(self.weights))
        except ValueError as error:
            raise ValueError(f"grpo.weights: {error}") from error
        if self.turns == 1:
            object.__setattr__(self, "turns", "one")
        if self.turns != "one" and self.dynamic_sampling:
            raise ValueError(
                "grpo.dynamic_sampling is for grpo.turns=1: what a first reply earns does not decide a play"
            )
        if self.turns != "one" and self.scale == "term":
            raise ValueError('grpo.scale="term" is for grpo.turns=1; choose group, game or none')
        alone = self.turn_credit in ("turn", "solver")
        if self.turns == "one" and (not alone or self.illegal != "costs"):
            raise ValueError(
                f"grpo.turn_credit={self.turn_credit!r} and grpo.illegal={self.illegal!r} "
                "take grpo.turns of 2 or more, or all"
            )
        if self.ahead and self.turn_credit != "ahead":
            raise ValueError('grpo.ahead takes grpo.turn_credit="ahead"')
        if isinstance(self.turns, int) and self.ahead >= self.turns:
            raise ValueError(f"grpo.ahead={self.ahead} is beyond the grpo.turns={self.turns} of a play")
