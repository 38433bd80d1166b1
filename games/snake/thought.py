"""Thoughts for Snake: what each direction leads to, then the one with the nearest food.

Directions are looked at in the order up, right, down, left. One turns back, or crashes, or is shut in (no
way to the own tail is left), or leads to the tail only, or to the food within so many turns.
"""

from collections.abc import Sequence
from functools import lru_cache

from vlm_gym.thought import Thought, parse_sentence

from .field import MOVES, Field
from .solver import judged, outlooks

SENTENCES = {
    "back": "{move} turns back",
    "crash": "{move} crashes",
    "shut": "{move} is shut in",
    "tail": "{move} leads to the tail",
    "food": "{move} eats in {n}",
}
"""The sentence about a direction, by the kind of its outlook."""
GRAMMAR = tuple(SENTENCES.values())
ORDER = ("food", "tail", "shut", "crash")
"""Kinds of outlooks, from the best to the worst."""


@lru_cache(maxsize=1 << 10)  # `solve` and `facts` call it again
def think(field: Field, snake: tuple[int, ...], food: int) -> Thought:
    """Return the thought on a position that is not over."""
    steps = []
    for move, outlook in outlooks(field, snake, food).items():
        steps.append(SENTENCES[outlook.kind].format(move=move, n=outlook.turns))
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, judged(field, snake, food)[action])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the direction that the steps imply, once all four are known: the first of the best ones."""
    kinds = {template: kind for kind, template in SENTENCES.items()}
    ranks: dict[str, tuple[int, int, int]] = {}  # kind of outlook, turns to the food, direction
    known = set()
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (move, *turns)) if move in MOVES and move not in known:
                known.add(move)
                if kinds[template] != "back":
                    count = int(turns[0]) if turns else 0
                    ranks[move] = ORDER.index(kinds[template]), count, MOVES.index(move)
    if len(known) < len(MOVES) or not ranks:
        return None
    return min(ranks, key=ranks.__getitem__)
