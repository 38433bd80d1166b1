"""What a policy is told: the rules, how an action is written, how a reply is written.

Training, evaluation, the text wrapper and human play all show these same words.
"""

from collections.abc import Sequence
from typing import Any

from vlm_gym.game import Game, GameKnobs, Plan
from vlm_gym.scene import Scene

REPLY = (
    "Look at the picture. Write what you see between <perception> and </perception>: one line for each row, "
    "cells separated by |, - for an empty cell. Think between <think> and </think>. "
    "Then write one action between <answer> and </answer>."
)
"""The reply format of the paper (arXiv:2505.13426), in our words."""


Message = dict[str, Any]
"""One message of a conversation, as chat templates take it: ``role``, and ``content`` of typed blocks."""


def instructions(game: Game[Any], knobs: GameKnobs) -> str:
    """Write the text that goes with every picture of a game."""
    return f"{game.title}. {game.rules(knobs)}\n{game.form}\n{REPLY}"


def target(scene: Scene, plan: Plan) -> str:
    """Write the reply of one who sees rightly and follows the solver: what a cold start imitates."""
    sections = ("perception", scene.describe()), ("think", plan.reasons), ("answer", plan.action)
    return "".join(f"<{name}>{words}</{name}>" for name, words in sections)


def conversation(text: str, past: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """Write what is shown to a model: the instructions, then a picture and a reply for every turn before.

    `past` lists replies and the feedback on them. Every ``{"type": "image"}`` stands for one picture, in
    order; the present one comes last. Training, evaluation and every kind of policy use these messages.
    """
    messages = [_shown(text)]
    for reply, feedback in past:
        messages += [{"role": "assistant", "content": [{"type": "text", "text": reply}]}, _shown(feedback)]
    return messages


def _shown(words: str) -> Message:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": words}]}
