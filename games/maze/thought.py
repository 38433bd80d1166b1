"""Thoughts for the maze: where to go, then the route back from there to the player.

The target is the goal if it can be reached, else the nearest key, else the nearest cell beside what has not
been seen. The route is followed from the target to the player, from one turn to the next: each sentence is a
straight free line. The last one begins at the player, and its direction is the move.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from vlm_gym.cells import cell_names
from vlm_gym.thought import Thought, parse_sentence

from .plan import GOAL, KEYS, opened, straight
from .solver import edge, judged, route

PLAYER = "player at {cell}"
GOAL_AT = "goal at {cell}"
KEY_AT = "key at {cell}"
EXPLORE = "unseen beside {cell}"
COMES = "{cell} from {cell}"
GRAMMAR = (PLAYER, GOAL_AT, KEY_AT, EXPLORE, COMES)


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
def think(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> Thought:
    """Return the thought in a plan that has `UNSEEN` cells."""
    names = cell_names(size, size)
    corners = route(plan, size, walker, held).corners
    target = corners[-1]
    content = opened(plan, held)[target]
    if content == GOAL:
        template = GOAL_AT
    else:
        template = KEY_AT if content in KEYS else EXPLORE
    steps = [_fill(PLAYER, names[walker]), _fill(template, names[target])]
    for end, start in pairwise(reversed(corners)):
        steps.append(_fill(COMES, names[end], names[start]))
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, judged(plan, size, walker, held)[action])


@lru_cache(maxsize=1 << 8)  # large, so fewer of them are kept
def facts(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> frozenset[str]:
    """Return all true sentences about what has been seen."""
    names = cell_names(size, size)
    plan = opened(plan, held)
    sentences = [_fill(PLAYER, names[walker])]
    for cell, content in enumerate(plan):
        if content == GOAL:
            sentences.append(_fill(GOAL_AT, names[cell]))
        elif content in KEYS:
            sentences.append(_fill(KEY_AT, names[cell]))
        if edge(plan, size, cell):
            sentences.append(_fill(EXPLORE, names[cell]))
    for start, end in straight(plan, size):
        sentences.append(_fill(COMES, names[end], names[start]))
    return frozenset(sentences)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the move that the steps imply: along the line that begins at the player."""
    player = None
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (cell,)) if template == PLAYER:
                player = cell
            case (template, (end, start)) if template == COMES and start == player:
                return _direction(start, end)
    return None


def _direction(start: str, end: str) -> str | None:
    """Return the move along a straight line between two cells; None if it is not straight."""
    row, col = map(int, start[1:-1].split(","))
    end_row, end_col = map(int, end[1:-1].split(","))
    if (row == end_row) == (col == end_col):  # both differ, or the cells are the same
        return None
    if row == end_row:
        return "right" if end_col > col else "left"
    return "down" if end_row > row else "up"


def _fill(template: str, *cells: str) -> str:
    """Fill the names of cells into a template, in order."""
    for cell in cells:
        template = template.replace("{cell}", cell, 1)
    return template
