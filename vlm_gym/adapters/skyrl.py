"""Games as environments of SkyRL: `BaseTextEnv` of skyrl-gym, with pictures as OpenAI image messages.

SkyRL owns the history: one growing conversation, whose pictures and feedback carry no loss. The reward of a
turn stands at the last token of its reply. All samples of a row begin alike, since the row names the episode.

A row of SkyRL's data set has ``prompt`` (a placeholder), ``env_class``, and the keys of
`vlm_gym.adapters.play.Row.read`. Training on pictures needs ``generator.vision_language_generator=true`` and
``generator.batched=false``, and a chat template that keeps what it has written before.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm_gym.adapters.libraries import check_library
from vlm_gym.adapters.play import begin
from vlm_gym.prompt import Message

check_library("skyrl-gym", "0.4.0", "skyrl")

import skyrl_gym  # noqa: E402
from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput  # noqa: E402

ENV_CLASS = "vlm_gym"
"""The ``env_class`` of a row."""


class SkyRLEnv(BaseTextEnv):
    """The episode of a row."""

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        """Begin the episode that `extras` names; ``max_turns`` is the turn limit that SkyRL adds.

        Raises `ValueError` of one line for a row that is not possible.
        """
        super().__init__()
        row = dict(extras or {})
        limits = [limit for limit in (row.get("turns"), row.get("max_turns")) if limit is not None]
        self._session = begin({**row, "turns": min(limits, default=None)})
        self.max_turns = self._session.row.turns

    def init(self, prompt: Sequence[Message]) -> tuple[list[Message], dict[str, Any]]:
        """Return the picture and the instructions, in place of the row's prompt."""
        return [self._session.message()], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Play a reply. Never raises for a bad one: it is a turn lost, and the next message says why."""
        answered = self._session.answer(action)
        self.turns = len(self._session.turns)
        return BaseTextEnvStepOutput(
            observations=[] if answered.done else [self._session.message()],
            reward=answered.reward,
            done=answered.done,
            metadata={"feedback": answered.feedback, "legal": answered.legal, **answered.terms},
        )

    def get_metrics(self) -> dict[str, float]:
        """Return what SkyRL averages over episodes."""
        legal = sum(turn.action is not None for turn in self._session.turns)
        return {
            "turns": float(self.turns),
            "return": sum(self._session.rewards),
            "success": float(self._session.success),
            "legal": legal / max(1, self.turns),
        }


def register(name: str = ENV_CLASS) -> None:
    """Register the games under an ``env_class``, before a training script does anything else.

    To call it again changes nothing.
    """
    if name not in skyrl_gym.envs.registration.registry:
        skyrl_gym.register(id=name, entry_point="vlm_gym.adapters.skyrl:SkyRLEnv")


def rows(games: Iterable[str], count: int, **keys: Any) -> list[dict[str, Any]]:
    """Make `count` rows of each game for SkyRL's data set, with the next deal in each."""
    prompt = [{"role": "user", "content": ""}]
    made = []
    for index in range(count):
        for game in games:
            made.append({"prompt": prompt, "env_class": ENV_CLASS, "game": game, "index": index, **keys})
    return made
