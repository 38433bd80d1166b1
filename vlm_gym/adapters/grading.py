"""Replies graded by the row that asked for them: a reward function for EasyR1, and for others of one turn.

EasyR1 (tried in the form that it has at b44b311, 2026-07) loads a reward function from a file:

    worker:
      reward:
        reward_function: .../vlm_gym/adapters/grading.py:compute_score
        reward_function_kwargs: {perception: 0.5}

`python -m vlm_gym.adapters.grading` prints the path of this file.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from vlm_gym import strict
from vlm_gym.actions import parse_for
from vlm_gym.game import Game, State
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.rollouts.reward import following, perception_accuracy, take, terms

REWARD_NAME = "vlm_gym"
REWARD_TYPE = "batch"
"""What EasyR1 reads of the file beside the function."""


def grade(position: Any, reply: Any) -> dict[str, float]:
    """Grade a reply to a position, the JSON of ``{"game": ..., "state": ...}``, by each reward term.

    A reply that is no text, or not one legal action, costs what it does in the game. `legal` is 1 for the
    others. Raises `ValueError` of one line for what is no position.
    """
    game, state = _position(strict.text(position, "the position"))
    parsed = parse_for(game, state, reply if isinstance(reply, str) else "")
    step = take(game, state, parsed)
    graded = terms(parsed, step, perception_accuracy(game, state, parsed), following(game, state, parsed))
    return {**graded, "legal": float(parsed.action is not None)}


def compute_score(
    reward_inputs: Sequence[Mapping[str, Any]],
    game: float = 1.0,
    format: float = 0.0,
    perception: float = 0.0,
    thought: float = 0.0,
) -> list[dict[str, float]]:
    """Score a batch of EasyR1: ``response`` to the position in ``ground_truth``.

    The weights of the reward terms make ``overall``, beside which all terms and `legal` are logged. Raises
    `ValueError` of one line for a row without one of the two keys, or of no position.
    """
    weights = {"game": game, "format": format, "perception": perception, "thought": thought}
    scores = []
    for asked in reward_inputs:
        for name in ("ground_truth", "response"):
            if name not in asked:
                raise ValueError(f"the row has no {name!r}; it has {', '.join(asked) or 'nothing'}")
        graded = grade(asked["ground_truth"], asked["response"])
        overall = sum(weight * graded[name] for name, weight in weights.items())
        scores.append({"overall": overall, **graded})
    return scores


@lru_cache(maxsize=256)
def _position(text: str) -> tuple[Game[Any], State]:
    """Read a position; the replies of a group share it."""
    entries = strict.record(strict.parse(text), "a position", ("game", "state"))
    game = find(strict.text(entries["game"], "game"))
    return game, to_state(game, entries["state"])


if __name__ == "__main__":
    print(__file__)  # noqa: T201
