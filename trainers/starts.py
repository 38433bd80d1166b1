"""The positions that GRPO starts from, step by step: the same for a seed, and kept as states, not pictures."""

import json
from collections.abc import Iterator
from pathlib import Path

from vlm_gym.dice import Dice
from vlm_gym.episode import Episode
from vlm_gym.evaluation.runs import read_json, write_json
from vlm_gym.game import State
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Policy, Request
from vlm_gym.rollouts.record import dumps, to_state
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.rollouts.states import Mixture, Position, sample

from .recipe import Grpo, Recipe, Shares, Task

OWN = "own.json"
"""The positions of the policy's own play, beside a checkpoint."""
_STREAM = 0x57A27
"""What tells the chance of these positions from that of the other parts of a run."""


class Start:
    """A position to reply to, and the task that it is of."""

    def __init__(self, task: int, request: Request) -> None:
        self.task, self.request = task, request


class Starts:
    """Deals out positions: games by their weights in every step, kinds of play by their shares.

    The policy's own positions are those of `play`; without them, its share goes to the others.
    """

    def __init__(self, recipe: Recipe, grpo: Grpo) -> None:
        self._seed, self._grpo, self._tasks = recipe.seed ^ _STREAM, grpo, recipe.task
        self._own: dict[int, list[State]] = {}
        self.turns = 0
        """Turns of own play so far."""

    def deal(self, step: int, attempt: int = 0) -> list[Start]:
        """Deal the positions of a step, in the order of the tasks; another attempt deals others."""
        dice = Dice(self._seed, step << 8 | attempt)
        counts = _shares(self._grpo.states, [task.weight for task in self._tasks], dice)
        return [
            Start(at, task.request(state))
            for at, (task, count) in enumerate(zip(self._tasks, counts, strict=True))
            for state in self.draw(at, count, dice.bits())
        ]

    def draw(self, task: int, count: int, seed: int) -> list[State]:
        """Draw positions of one task."""
        own = [Position(self._tasks[task].game, state) for state in self._own.get(task, ())]
        return [state for _, state in sample(count, [self._mixture(task, own=bool(own))], seed, own=own)]

    def play(self, step: int, policy: Policy) -> None:
        """Let the policy play episodes of the training stream; the positions it meets are its own from now on."""
        for at, task in enumerate(self._tasks):
            reasoning = self._mixture(at).reasoning
            first = step * self._grpo.episodes
            addresses = [
                Episode(task.game, task.perception, reasoning, "train", first + number)
                for number in range(self._grpo.episodes)
            ]
            met = [turn.state for turn in rollout(addresses, policy, lanes=len(addresses))]
            self.turns += len(met)
            self._own[at] = list(dict.fromkeys(met))

    def save(self, folder: Path) -> None:
        """Write the policy's own positions down."""
        own = {str(at): [json.loads(dumps(state)) for state in states] for at, states in self._own.items()}
        write_json(folder / OWN, {"turns": self.turns, "own": own})

    def load(self, folder: Path) -> None:
        """Read the positions that `save` wrote."""
        data = read_json(folder / OWN)
        self.turns = data["turns"]
        self._own = {
            int(at): [to_state(find(self._tasks[int(at)].game), state) for state in states]
            for at, states in data["own"].items()
        }

    def _mixture(self, task: int, own: bool = False) -> Mixture:
        """Say where positions of a task come from, under the knobs that make its reward."""
        shares = self._grpo.shares
        if not own:
            others = {"fresh": shares.fresh, "walk": shares.walk, "solver": shares.solver}
            shares = Shares(**others) if any(others.values()) else Shares(fresh=1.0, walk=0.0)
        reward = "paper" if self._grpo.reward == "paper" else "progress"
        return self._tasks[task].mixture(shares, reward=reward)


def _shares(count: int, weights: list[float], dice: Dice) -> list[int]:
    """Share out a number by weights: each gets its due, rounded up or down by chance (systematic sampling)."""
    whole, place = sum(weights), dice.bits() / (1 << 64)
    ends = [0, *(int(end) for end in _sums(count, weights, whole, place))]
    return [right - left for left, right in zip(ends, ends[1:], strict=False)]


def _sums(count: int, weights: list[float], whole: float, place: float) -> Iterator[float]:
    done = 0.0
    for weight in weights[:-1]:
        done += weight
        yield count * done / whole + place
    yield count
