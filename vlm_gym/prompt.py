"""What a policy is told: the rules, how an action is written, how a reply is written.

Training, evaluation, the text wrapper and human play all show these same words.
"""

from typing import Any

from vlm_gym.game import Game, GameKnobs, Plan
from vlm_gym.scene import Scene

REPLY = (
    "Look at the picture. Write what you see between <perception> and </perception>: one line for each row, "
    "cells separated by |, - for an empty cell. Think between <think> and </think>. "
    "Then write one action between <answer> and </answer>."
)
"""The reply format of the paper (arXiv:2505.13426), in our words."""


def instructions(game: Game[Any], knobs: GameKnobs) -> str:
    """Write the text that goes with every picture of a game."""
    return f"{game.title}. {game.rules(knobs)}\n{game.form}\n{REPLY}"


def target(scene: Scene, plan: Plan) -> str:
    """Write the reply of one who sees rightly and follows the solver: what a cold start imitates."""
    sections = ("perception", scene.describe()), ("think", plan.reasons), ("answer", plan.action)
    return "".join(f"<{name}>{words}</{name}>" for name, words in sections)
