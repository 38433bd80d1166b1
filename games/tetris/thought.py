"""Thoughts for Tetris: the heights of the columns, the cheapest column for every turn, then the best.

The first sentence reads the heights off the field; all others can be computed from it and the piece
(`solver.cost`). A placement that reaches the goal ends the thought. The first of equal ones is taken.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from vlm_gym.thought import Thought, parse_sentence

from .board import Field
from .solver import cheapest, judged, reaching

WIDTHS = range(4, 13)
HEIGHTS = tuple("heights" + " {n}" * width for width in WIDTHS)
COSTS = "{line} turned {n} costs {n}"
BEST = "{line} turned {n} is best"
GOAL = "{line} turned {n} reaches the goal"
GRAMMAR = (*HEIGHTS, COSTS, BEST, GOAL)


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
def think(field: Field, kind: str, remaining: int) -> Thought:
    """Return the thought on a piece that can be placed, `remaining` rows before the goal."""
    steps = tuple(_sentences(field, kind, remaining))
    action = conclude(steps)
    assert action is not None
    return Thought(steps, action, judged(field, kind, remaining)[action])


def facts(field: Field, kind: str, remaining: int) -> frozenset[str]:
    """Return all true sentences: those of the thought, and each placement that reaches the goal."""
    goal = [f"{name} reaches the goal" for name in reaching(field, kind, remaining)]
    return frozenset([*_sentences(field, kind, remaining), *goal])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the placement that the steps name as the best, or as one that reaches the goal."""
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (line, turned)) if template in (BEST, GOAL) and line.startswith("column"):
                return f"{line} turned {turned}"
    return None


def _sentences(field: Field, kind: str, remaining: int) -> Iterator[str]:
    """Yield the sentences of the thought."""
    yield " ".join(["heights", *map(str, field.heights())])
    goal = reaching(field, kind, remaining)
    if goal:
        yield f"{goal[0]} reaches the goal"
        return
    candidates = cheapest(field, kind)
    for name, price in candidates:
        yield f"{name} costs {price}"
    name, _ = min(candidates, key=lambda candidate: candidate[1])
    yield f"{name} is best"
