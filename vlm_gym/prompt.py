"""The prompt of a policy: the rules, the form of an action, the form of a reply.

Training, evaluation, the text wrapper and human play all show these same words.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Required, TypedDict

from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.scene import Scene

REPLY = (
    "Look at the picture. Write what you see between <perception> and </perception>: one line for each row, "
    "cells separated by |, - for an empty cell. Think between <think> and </think>. "
    "Then write one action between <answer> and </answer>."
)
"""The reply format of the paper (arXiv:2505.13426), in our words."""

OBJECTS = (
    " Below the board, in reading order, one line for each object that lies off the grid, with its row and "
    "column to a quarter of a cell, such as ball at (2.25,3.5)."
)
NOTES = " Last, one line for each text beside the board, as it stands there."
"""What the reply format adds for scenes with objects and notes."""


class Block(TypedDict, total=False):
    """A part of a message: a text, or a picture, whose pixels or address stand elsewhere or in it."""

    type: Required[str]
    """``text``, ``image`` or ``image_url``."""
    text: str
    image_url: dict[str, str]


class Message(TypedDict):
    """One message of a conversation, as chat templates take it."""

    role: str
    content: list[Block]


def instructions(game: Game, knobs: GameKnobs) -> str:
    """Write the text that goes with every picture of a game."""
    return f"{game.title}. {game.rules(knobs)}\n{game.form}\n{_reply(game, knobs)}"


@lru_cache(maxsize=1024)
def _reply(game: Game, knobs: GameKnobs) -> str:
    """Write the reply format, with the lines below the board where the scenes of a game have any."""
    scene = game.scene(game.start(0, knobs))
    below = OBJECTS * bool(scene.objects) + NOTES * bool(scene.notes)
    board = "- for an empty cell."
    return REPLY.replace(board, board + below)


def target(scene: Scene, thought: str, action: str) -> str:
    """Write a reply with the true perception, a thought and an answer."""
    perception = scene.describe()
    return f"<perception>{perception}</perception><think>{thought}</think><answer>{action}</answer>"


def hint(game: Game, state: State) -> str:
    """Write the solver's advice for a person: the action, then the thought it follows from; "" for none."""
    plan = game.solve(state)
    if plan is None:
        return ""
    thought = game.think(state)
    return plan.action if thought is None else f"{plan.action}\n{thought.words}"


def solution(game: Game, state: State) -> str | None:
    """Write the reply that a cold start imitates: the true perception, the game's thought, its action.

    Where a game has no thoughts, the thought is the solver's action alone, since a reply in full form holds
    some thought. None where the state is over or the game has neither.
    """
    thought = game.think(state)
    if thought is not None:
        return target(game.scene(state), thought.words, thought.action)
    plan = game.solve(state)
    return None if plan is None else target(game.scene(state), plan.action, plan.action)


def conversation(text: str, past: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """Write what is shown to a model: the instructions, then a picture and a reply for every turn before.

    `past` lists replies and the feedback on them. Every ``{"type": "image"}`` stands for one picture, in
    order; the present one comes last. Training, evaluation and every kind of policy use these messages.
    """
    messages = [_shown(text)]
    for reply, feedback in past:
        messages += [{"role": "assistant", "content": [{"type": "text", "text": reply}]}, _shown(feedback)]
    return messages


def _shown(text: str) -> Message:
    """Return a message that shows a picture and a text to a model."""
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
