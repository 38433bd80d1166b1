"""Games as environments of VAGEN: the asynchronous `GymImageEnv`, without importing VAGEN.

Tried with the base class of mll-lab-nu/VAGEN at 2936322 (2026-07), and written to the contract of its later
adapter, which reads `truncated` and takes rewards by token. In VAGEN's registry of environments, the entry is
``VlmGym: vlm_gym.adapters.vagen.VagenEnv``. The configuration of an environment is a row
(`vlm_gym.adapters.play.Row.read`). The seed that VAGEN chooses is its `index`, so that members of a group
begin alike.

VAGEN owns the history. Both of its policies have the instructions, which are the system prompt: the one that
concatenates turns, and the one that shows each turn alone. Games of memory need the former.

Where VAGEN hands over the tokens of a reply, the reward is a vector over them. What a reply earns for its
perception and its thought is spread evenly over their tokens; the rest stands at the last token.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from vlm_gym.actions import SECTIONS
from vlm_gym.adapters.play import Answered, EpisodeInPlay, begin

PICTURE = "<image>"
"""What stands for a picture in the text of an observation."""
_MARKS = (PICTURE, "<video>")
"""What VAGEN counts in the text of an observation. A reply that is quoted must not add one."""
_SPREAD = {"perception": SECTIONS[0], "thought": SECTIONS[1]}
"""The reward terms that belong to a section of the reply, with its tag."""

Obs = dict[str, Any]
Tokens = Sequence[int]


class VagenEnv:
    """One episode after another of the game of a row, by the protocol of VAGEN's `GymImageEnv`."""

    def __init__(self, env_config: Mapping[str, Any]) -> None:
        """Take a row as the configuration. Raises `ValueError` of one line for one that is not possible."""
        self.config = dict(env_config)
        self._session: EpisodeInPlay = begin(self.config)

    async def system_prompt(self) -> Obs:
        """Return the instructions, as an observation without a picture."""
        return {"obs_str": _safe(self._session.text)}

    async def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin the episode whose index is the seed, or that of the configuration."""
        row = self.config if seed is None else {**self.config, "index": seed}
        self._session = await asyncio.to_thread(begin, row)
        return self._shown(""), {"success": False}

    async def step(
        self, action_str: str, response_token_ids: Tokens | None = None, tokenizer: Any = None
    ) -> tuple[Obs, float | list[float], bool, dict[str, Any]]:
        """Play a reply. Returns the observation, the reward, whether the episode ended, and the details.

        With the tokens of the reply and their tokenizer, the reward is a list with a number for each of them.
        Never raises for a bad reply: VAGEN would end the episode in silence, with a reward of 0. Details are
        ``success``, ``truncated``, ``format_correct``, ``error`` and the reward terms.
        """
        session = self._session
        answered = await asyncio.to_thread(session.answer, action_str)
        reward: float | list[float] = answered.reward
        if response_token_ids and tokenizer is not None:
            reward = _spread(answered, session.row.weights, response_token_ids, tokenizer)
        info = {
            "success": session.success,
            "truncated": answered.truncated,
            "format_correct": answered.terms["format"] > 0,
            "error": "" if answered.legal else answered.feedback,
            **{f"reward/{name}": value for name, value in answered.terms.items()},
        }
        return self._shown(answered.feedback), reward, answered.done, info

    async def close(self) -> None:
        """Do nothing: an episode holds nothing that has to be released."""

    def _shown(self, text: str) -> Obs:
        return {
            "obs_str": f"{PICTURE}\n{_safe(text)}".rstrip(),
            "multi_modal_input": {PICTURE: [self._session.image()]},
        }


def _safe(text: str) -> str:
    """Break the marks of pictures in a text, such as one that quotes a reply."""
    for mark in _MARKS:
        text = text.replace(mark, f"< {mark[1:]}")
    return text


def _spread(answered: Answered, weights: Mapping[str, float], ids: Tokens, tokenizer: Any) -> list[float]:
    """Lay a reward over the tokens of a reply; the sum stays the same."""
    ends = list[int]()  # (T + 1,), characters of the text of the first tokens
    for count in range(len(ids) + 1):
        ends.append(len(tokenizer.decode(ids[:count], skip_special_tokens=True)))
    text = tokenizer.decode(ids, skip_special_tokens=True)
    rewards = [0.0] * len(ids)
    for name, weight in weights.items():
        earned = weight * answered.terms[name]
        covering = list(_covering(text, _SPREAD[name], ends)) if name in _SPREAD else []
        for token in covering or [len(ids) - 1]:
            rewards[token] += earned / max(1, len(covering))
    return rewards


def _covering(text: str, tag: str, ends: Sequence[int]) -> Iterable[int]:
    """Yield the tokens that touch the text of a section; none where the reply does not have it.

    `ends[n]` is the length of the text of the first n tokens. It is measured by decoding what was written:
    the same text, encoded again, can have other tokens.
    """
    opening = f"<{tag}>"
    start = text.find(opening) + len(opening)
    end = text.find(f"</{tag}>")
    if start < len(opening) or end < start:
        return
    for token, (before, after) in enumerate(pairwise(ends)):
        if before < end and after > start:
            yield token
