"""The tasks: one row an episode, and what is read from the trace of an episode that was played."""

from collections.abc import Iterator
from typing import Any, Literal, Self

import verifiers.v1 as vf
from pydantic import model_validator

from vlm_gym.adapters.play import TERMS, Row
from vlm_gym.knobs import spell
from vlm_gym.prompt import instructions
from vlm_gym.registry import find

PLAYED = "vlm_gym"
"""The key of `trace.info` under which the harness writes what came of each turn."""


class GameTasksetConfig(vf.TasksetConfig):
    """Which episodes there are, under ``--env.taskset.*``."""

    games: list[str] = ["2048"]
    """Names of games; tasks take turns among them."""
    perception: int | str = 0
    """Perception level, or knobs as text: ``level=2,size=224``."""
    reasoning: int | str = 2
    """Reasoning level, preset, or knobs as text."""
    split: Literal["train", "test"] = "train"
    first: int = 0
    """Index of the first deal of each game."""
    num_tasks: int = 1000
    """Tasks in all."""
    turns: int | None = None
    """Turns after which an episode is truncated; None: the limit of its game."""
    weights: dict[str, float] = {"game": 1.0}
    """The weight of each reward term: game, format, perception, thought."""

    @model_validator(mode="after")
    def possible(self) -> Self:
        """Check that there are such games and levels, while options are read: no traceback hides the line."""
        if not self.games:
            raise ValueError("games is empty; name at least one game")
        for game in self.games:
            Row.read(self.row(game, self.first))
        return self

    def row(self, game: str, index: int) -> dict[str, Any]:
        """Write the row of a deal."""
        return {
            "game": game,
            "perception": spell(self.perception),
            "reasoning": spell(self.reasoning),
            "split": self.split,
            "index": index,
            "turns": self.turns,
            "weights": dict(self.weights),
        }


class GameData(vf.TaskData):
    """One episode, as a row of `vlm_gym.adapters.play.Row`."""

    row: dict[str, Any]


class GameTask(vf.Task[GameData]):
    """An episode. Its reward and metrics come from what the harness has written down."""

    @property
    def key(self) -> str:
        """The identity of the episode, which wordings of the instructions do not change."""
        return str(self.data.id)

    @vf.reward(weight=1.0)
    async def game(self, trace: vf.Trace) -> float:
        """Return the sum of the rewards of all turns, each weighted by term."""
        return float(sum(_played(trace)["rewards"]))

    @vf.metric
    async def outcome(self, trace: vf.Trace) -> dict[str, float]:
        """Return how the episode went, and the sum of each reward term."""
        played = _played(trace)
        sums = dict[str, float]()
        for term in TERMS:
            sums[f"{term}_sum"] = float(sum(turn[term] for turn in played["terms"]))
        return {
            "success": float(played["success"]),
            "score": float(played["score"]),
            "turns": float(len(played["rewards"])),
            "illegal_turns": float(played["legal"].count(False)),
            **sums,
        }


class GameTaskset(vf.Taskset[GameTask, GameTasksetConfig]):
    """The tasks of a configuration. All rollouts of a task start alike."""

    def load(self) -> Iterator[GameTask]:
        """Yield the tasks."""
        config = self.config
        games = config.games
        texts = [_instructions(config.row(game, config.first)) for game in games]
        for number in range(config.num_tasks):
            which = number % len(games)
            row = config.row(games[which], config.first + number // len(games))
            episode = Row.read(row).episode
            level = f"{episode.game}/{episode.perception}/{episode.reasoning}"
            name = f"{level}/{episode.split}/{episode.index}"
            yield GameTask(GameData(id=name, name=name, prompt=texts[which], row=row), config.task)


class VerifiersEnvConfig(vf.EnvConfig):
    """One agent, which plays in this process: no sandbox is rented for it."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class VerifiersEnv(vf.Env[VerifiersEnvConfig]):
    """An episode is one agent's play of one task."""

    async def run(self, task: GameTask, agents: vf.Agents) -> None:
        """Play a task."""
        await agents.agent.run(task)


def _instructions(row: dict[str, Any]) -> str:
    """Write the instructions of a row's game, which all its deals share."""
    episode = Row.read(row).episode
    game = find(episode.game)
    return instructions(game, game.settle(episode.reasoning))


def _played(trace: vf.Trace) -> dict[str, Any]:
    """Return what the harness has written down. Raises `ValueError` if another harness has played."""
    played: dict[str, Any] | None = trace.info.get(PLAYED)
    if played is None:
        raise ValueError("no game was played: tasks of vlm-gym take the harness of the same package")
    return played
