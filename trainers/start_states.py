"""Start positions of GRPO, step by step: a function of the seed, kept as states, not as pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from vlm_gym.dice import Dice
from vlm_gym.episode import Episode, held_out
from vlm_gym.game import Game, State
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.rollouts.history import USUAL, History
from vlm_gym.rollouts.policy import PastTurn, Request
from vlm_gym.rollouts.reward import fork
from vlm_gym.rollouts.states import Position, played, sample
from vlm_gym.storage import dumps, write_json

from .models.restoring import blaming_file, read_entries
from .recipe import Grpo, Recipe, Shares, Task, divide

ON_POLICY_FILE = "own.json"
"""The file of the policy's episodes in a checkpoint."""
_STREAM = 0x57A27
_LANES = 0x1A9E5
_AGAIN = 0xA6A12
"""Salts of the seeds, so that positions, episodes and deals have independent random streams."""


class Start(NamedTuple):
    """A position to reply to, its task, and the index of the on-policy episode there, if any."""

    task: int
    request: Request
    episode: int | None = None


class OnPolicyEpisode(NamedTuple):
    """An episode of the training stream that the policy is playing: its number, and how far it is."""

    number: int
    state: State
    turns: int = 0
    past: tuple[PastTurn, ...] = ()
    """The turns before, as far as requests show them."""


class StartStates:
    """Samples start positions: games by their weights in every step, kinds of play by their shares.

    The policy's own positions are those of episodes that it plays all along, a turn at a time: a step takes
    some of them, and one of the replies that are written there then goes on (`follow`).
    """

    def __init__(self, recipe: Recipe, grpo: Grpo) -> None:
        self._seed = recipe.seed ^ _STREAM
        self._grpo = grpo
        self._tasks = recipe.task
        self._context = recipe.context
        count = grpo.episodes if grpo.shares.on_policy else 0
        self._episodes = list[list[OnPolicyEpisode]]()
        for task in range(len(self._tasks)):
            self._episodes.append([self._begin(task, number) for number in range(count)])

    def deal(self, step: int, attempt: int = 0) -> list[Start]:
        """Deal the positions of a step, in the order of the tasks; another attempt deals others."""
        dice = Dice(self._seed, step << 8 | attempt)  # a step has at most 255 further attempts
        counts = _shares(self._grpo.prompts_per_step, [task.weight for task in self._tasks], dice)
        starts = list[Start]()
        for task_index, count in enumerate(counts):
            starts += self._deal(task_index, count, dice)
        return starts

    def again(self, start: Start, number: int, deal: int) -> Start:
        """Deal the state from which the plays of a group continue after a game has ended.

        `number` is that of the group in the run, `deal` counts its deals.
        """
        dice = Dice(self._seed ^ _AGAIN, number << 12 | deal)  # fewer deals than `plays.MOST_DEALS`
        task = self._tasks[start.task]
        fresh = Shares(fresh=1.0, walk=0.0)
        (position,) = draw_positions(task, fresh, 1, dice.bits(), self._context, **self._knobs)
        return Start(start.task, task.request(position.state))

    def follow(self, replies: Sequence[tuple[Start, Sequence[str]]]) -> None:
        """Advance episodes by one reply each: the first reply, or the most frequent outcome of all replies.

        The most frequent outcome, close to greedy decoding, advances the share `greedy` of the episodes. A
        reply without a legal action costs a turn, so a policy that is stuck meets the position again.
        """
        for (task, request, index), texts in replies:
            if index is None:
                continue
            episodes = self._episodes[task]
            # If several steps are sampled at once, the first one advances the episode.
            if episodes[index].state != request.state:
                continue
            usual = index < round(self._grpo.greedy * len(episodes))
            steps = fork(request.game, request.state, texts if usual else texts[:1])
            after = [step.state for step in steps]
            chosen = after.index(max(after, key=after.count))  # of equally frequent ones the first
            turn = PastTurn(request.state, texts[chosen], steps[chosen].event)
            episodes[index] = self._trainable(task, episodes[index], after[chosen], turn)

    def save(self, folder: Path) -> None:
        """Write the policy's episodes into a checkpoint."""
        rows = list[list[object]]()
        for episodes in self._episodes:
            rows.append([json.loads(dumps(list(each))) for each in episodes])
        write_json(folder / ON_POLICY_FILE, {"lanes": rows})  # the key of checkpoints of all versions

    def load(self, folder: Path) -> None:
        """Load the episodes that `save` wrote. Raises `ValueError` that names a broken file."""
        saved = read_entries(folder / ON_POLICY_FILE, lanes=list)["lanes"]
        with blaming_file(folder / ON_POLICY_FILE):
            read = list[list[OnPolicyEpisode]]()
            for task, entries in zip(self._tasks, saved, strict=True):
                game = find(task.game)
                read.append([_read_episode(game, *entry) for entry in entries])
            counts = list(map(len, read))
            if counts != list(map(len, self._episodes)):
                raise ValueError(f"it holds {counts} episodes of the tasks")
            for episode in chain.from_iterable(read):
                if type(episode.number) is not int or type(episode.turns) is not int:
                    raise ValueError("a number of an episode is not a whole number")
        self._episodes = read

    def _deal(self, task_index: int, count: int, dice: Dice) -> list[Start]:
        """Deal positions of a task: of its episodes, none twice, and by the other shares."""
        task = self._tasks[task_index]
        shares = self._grpo.shares
        episodes = self._episodes[task_index]
        rest = replace(shares, on_policy=0.0)
        own, _ = _shares(count, [shares.on_policy, sum(asdict(rest).values())], dice)
        order = list(range(len(episodes)))
        dice.shuffle(order)
        own = min(own, len(order))
        # Positions that no episode is left for are fresh deals, if the recipe has no other source.
        if not any(asdict(rest).values()):
            rest = Shares(fresh=1.0, walk=0.0)
        dealt = draw_positions(task, rest, count - own, dice.bits(), self._context, **self._knobs)
        starts = list[Start]()
        for index in order[:own]:
            episode = episodes[index]
            starts.append(Start(task_index, task.request(episode.state, episode.past), index))
        for position in dealt:
            starts.append(Start(task_index, task.request(position.state, position.past)))
        return starts

    def _begin(self, task_index: int, number: int) -> OnPolicyEpisode:
        """Deal an episode of the training stream."""
        task = self._tasks[task_index]
        episode = Episode(task.game, task.perception, self._reasoning(task), "train", number)
        game = find(task.game)
        return OnPolicyEpisode(number, game.start(episode.seed, game.settle(episode.reasoning)))

    def _trainable(
        self, task_index: int, episode: OnPolicyEpisode, state: State, turn: PastTurn
    ) -> OnPolicyEpisode:
        """Take an episode by a turn to a state, and on to one to train on by chance; or begin the next."""
        game = find(self._tasks[task_index].game)
        turns = episode.turns + 1
        past = [*episode.past, turn]
        dice = Dice(self._seed ^ _LANES ^ task_index, episode.number << 32 | turns)
        while not (ended := state.over or turns >= state.knobs.turns) and held_out(game, state):
            action = dice.choice(game.legal(state))
            if self._context.count(game):
                past.append(played(game, state, action))
            state = game.step(state, action).state
            turns += 1
        if ended:
            return self._begin(task_index, episode.number + len(self._episodes[task_index]))
        return OnPolicyEpisode(episode.number, state, turns, self._context.shown(game, past))

    @property
    def _knobs(self) -> dict[str, str]:
        """Return the knobs that set the reward of the recipe."""
        return {"reward": self._grpo.reward}

    def _reasoning(self, task: Task) -> str:
        return task.mixture(self._grpo.shares, **self._knobs).reasoning


def draw_positions(
    task: Task, shares: Shares, count: int, seed: int, history: History = USUAL, **knobs: str
) -> list[Position]:
    """Draw positions of one task; `knobs` replace those of its level."""
    return sample(count, [task.mixture(shares, **knobs)], seed, history=history)


def _read_episode(
    game: Game, number: int, state: object, turns: int, past: Sequence[tuple[object, str, str]] = ()
) -> OnPolicyEpisode:
    """Make an episode from its JSON, which earlier versions wrote without the turns before."""
    before = list[PastTurn]()
    for shown, reply, event in past:
        before.append(PastTurn(to_state(game, shown), str(reply), str(event)))
    return OnPolicyEpisode(number, to_state(game, state), turns, tuple(before))


def _shares(count: int, weights: Sequence[float], dice: Dice) -> list[int]:
    """Divide a number by weights, each share rounded up or down at random (systematic sampling)."""
    chance = dice.bits() / (1 << 64)
    return divide(count, weights, lambda exact: int(exact + chance))
