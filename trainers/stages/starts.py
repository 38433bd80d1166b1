"""The positions that GRPO starts from, step by step: the same for a seed, kept as states, not as pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from vlm_gym.dice import Dice
from vlm_gym.episode import Episode
from vlm_gym.evaluation.runs import read_json, write_json
from vlm_gym.game import State
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Policy, Request
from vlm_gym.rollouts.record import dumps, to_state
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.rollouts.states import Position, sample

from ..recipe import Grpo, Recipe, Shares, Task

OWN = "own.json"
"""The positions of the policy's own play, beside a checkpoint."""
_STREAM = 0x57A27
"""What tells the chance of these positions from that of the other parts of a run."""


class Start(NamedTuple):
    """A position to reply to, and the number of the task that it is of."""

    task: int
    request: Request


class Starts:
    """Deals out positions: games by their weights in every step, kinds of play by their shares.

    The policy's own positions are those of `play`; without them, its share goes to the others.
    """

    def __init__(self, recipe: Recipe, grpo: Grpo) -> None:
        self._seed, self._grpo, self._tasks = recipe.seed ^ _STREAM, grpo, recipe.task
        self._own: dict[int, list[State]] = {}
        self.due = 0
        """The step from which on it is time to play again."""

    def deal(self, step: int, attempt: int = 0) -> list[Start]:
        """Deal the positions of a step, in the order of the tasks; another attempt deals others."""
        dice = Dice(self._seed, step << 8 | attempt)
        counts = _shares(self._grpo.states, [task.weight for task in self._tasks], dice)
        return [
            Start(at, task.request(state))
            for at, (task, count) in enumerate(zip(self._tasks, counts, strict=True))
            for state in self._draw(at, count, dice.bits())
        ]

    def play(self, step: int, policy: Policy, greedy: Policy) -> None:
        """Let the policy play episodes of the training stream; what it meets is its own from now on.

        `greedy` is the same policy as it decodes greedily. A position counts as often as it was met: one that
        the policy is stuck in costs it every turn.
        """
        count = self._grpo.episodes
        first, split = step // self._grpo.refresh * count, round(count * self._grpo.greedy)
        self._own = {at: [] for at in range(len(self._tasks))}
        for player, numbers in ((greedy, range(split)), (policy, range(split, count))):
            whose = {
                Episode(task.game, task.perception, self._reasoning(task), "train", first + number): at
                for number in numbers
                for at, task in enumerate(self._tasks)
            }
            for turn in rollout(whose, player, lanes=len(whose) or 1):
                self._own[whose[turn.episode]].append(turn.state)
        self.due = step + self._grpo.refresh

    def save(self, folder: Path) -> None:
        """Write the policy's own positions down."""
        own = {str(at): [json.loads(dumps(state)) for state in states] for at, states in self._own.items()}
        write_json(folder / OWN, {"due": self.due, "own": own})

    def load(self, folder: Path) -> None:
        """Read the positions that `save` wrote."""
        data = read_json(folder / OWN)
        self.due = data["due"]
        self._own = {
            int(at): [to_state(find(self._tasks[int(at)].game), state) for state in states]
            for at, states in data["own"].items()
        }

    @property
    def _knobs(self) -> dict[str, str]:
        """The knobs that make the rules pay as the recipe asks."""
        return {"reward": "paper" if self._grpo.reward == "paper" else "progress"}

    def _reasoning(self, task: Task) -> str:
        return task.mixture(self._grpo.shares, **self._knobs).reasoning

    def _draw(self, at: int, count: int, seed: int) -> list[State]:
        shares, own = self._grpo.shares, self._own.get(at, [])
        if not own:
            rest = replace(shares, own=0.0)
            shares = rest if any(asdict(rest).values()) else Shares(fresh=1.0, walk=0.0)
        return draw(self._tasks[at], shares, count, seed, own, **self._knobs)


def draw(
    task: Task, shares: Shares, count: int, seed: int, own: Sequence[State] = (), **knobs: str
) -> list[State]:
    """Draw positions of one task; `knobs` replace those of its level."""
    brought = [Position(task.game, state) for state in own]
    return [state for _, state in sample(count, [task.mixture(shares, **knobs)], seed, own=brought)]


def _shares(count: int, weights: Sequence[float], dice: Dice) -> list[int]:
    """Share out a number by weights, each rounded up or down by chance (systematic sampling)."""
    chance, whole = dice.bits() / (1 << 64), sum(weights)
    ends = [int(count * done / whole + chance) for done in accumulate(weights[:-1])]
    return [right - left for left, right in pairwise([0, *ends, count])]
