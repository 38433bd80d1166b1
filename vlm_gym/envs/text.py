"""A wrapper that takes replies in place of action numbers."""

from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.spaces import Dict, Text

from vlm_gym.actions import parse_for
from vlm_gym.envs.single import LOST, GameEnv, Info
from vlm_gym.prompt import instructions

LONGEST_TEXT = 100_000
"""Characters in a text of either space."""

Observation = dict[str, Any]


class TextEnv(gym.Wrapper[Observation, str, Any, Any], gym.utils.RecordConstructorArgs):
    """Play by replies: ``env.step("<answer>left</answer>")``.

    Observation: ``{"image": the picture, "text": the rules and how to reply}``. A reply without exactly one
    legal answer (`vlm_gym.actions.parse`) is a turn lost: it has a cost, changes nothing, and is explained in
    ``info["error"]``. Info has also ``reply``, the parsed `Reply` to the last step.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wrap a game made by ``gym.make``; `ValueError` for any other environment."""
        gym.utils.RecordConstructorArgs.__init__(self)  # so that the wrapped environment's spec can make it
        super().__init__(env)
        self._inner = env
        if not isinstance(env.unwrapped, GameEnv):
            raise ValueError(f"TextEnv wraps the games of vlm_gym, not {type(env.unwrapped).__name__}")
        self._game_env = env.unwrapped
        self._text = instructions(self._game_env.game, self._game_env.knobs)
        text = text_space(self._text)
        self.observation_space = Dict({"image": self._game_env.observation_space, "text": text})
        self.action_space = text

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        """Deal a new episode; see `GameEnv.reset`."""
        frame, info = self._inner.reset(seed=seed, options=options)
        return {"image": frame, "text": self._text}, info

    def step(self, action: str) -> tuple[Observation, SupportsFloat, bool, bool, Info]:
        """Play the one action that a reply names. Raises `ValueError` for what is no text."""
        if not isinstance(action, str):
            raise ValueError(f"{action!r} is no reply; a reply is text, such as '<answer>left</answer>'")
        games = self._game_env
        reply = parse_for(games.game, games.state, action)
        played: int | str = LOST
        if reply.action is not None:
            played = games.index.get(reply.action, reply.action)  # an index, or words where actions are open
        frame, reward, terminated, truncated, info = self._inner.step(played)
        info["reply"] = reply
        info["error"] = reply.error
        return {"image": frame, "text": self._text}, reward, terminated, truncated, info


def text_space(*texts: str) -> Text:
    """Make the space of replies, and of these texts."""
    printable = frozenset(map(chr, range(32, 127))) | {"\n"}
    return Text(LONGEST_TEXT, charset=printable.union(*texts))
