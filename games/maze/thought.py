"""Thoughts for the maze: where to go, then the way back from there to the player.

The target is the goal if it can be reached, else the nearest key, else the nearest cell beside what has not
been seen. The way is followed from the target to the player, from one turn to the next: each sentence is a
straight free line. The last one begins at the player, and its direction is the move.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from vlm_gym.cells import cell_names
from vlm_gym.thought import Thought, parse_sentence

from .plan import GOAL, KEYS, opened, straight
from .solver import edge, judged, way

PLAYER = "player at {cell}"
GOAL_AT = "goal at {cell}"
KEY_AT = "key at {cell}"
EXPLORE = "unseen beside {cell}"
COMES = "{cell} from {cell}"
GRAMMAR = (PLAYER, GOAL_AT, KEY_AT, EXPLORE, COMES)


@lru_cache(maxsize=1 << 10)
def think(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> Thought:
    """Return the thought in a plan that has `UNSEEN` cells."""
    name = cell_names(size, size)
    corners = way(plan, size, walker, held).corners
    target = corners[-1]
    thing = opened(plan, held)[target]
    template = GOAL_AT if thing == GOAL else KEY_AT if thing in KEYS else EXPLORE
    steps = [_say(PLAYER, name[walker]), _say(template, name[target])]
    for to, start in pairwise(reversed(corners)):
        steps.append(_say(COMES, name[to], name[start]))
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, judged(plan, size, walker, held)[action])


@lru_cache(maxsize=1 << 8)
def facts(plan: bytes, size: int, walker: int, held: tuple[int, ...]) -> frozenset[str]:
    """Return all true sentences about what has been seen."""
    name = cell_names(size, size)
    plan = opened(plan, held)
    found = [_say(PLAYER, name[walker])]
    for place, cell in enumerate(plan):
        if cell == GOAL:
            found.append(_say(GOAL_AT, name[place]))
        elif cell in KEYS:
            found.append(_say(KEY_AT, name[place]))
        if edge(plan, size, place):
            found.append(_say(EXPLORE, name[place]))
    found += [_say(COMES, name[to], name[start]) for start, to in straight(plan, size)]
    return frozenset(found)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the move that the steps imply: along the line that begins at the player."""
    player = None
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (cell,)) if template == PLAYER:
                player = cell
            case (template, (to, start)) if template == COMES and start == player:
                return _direction(start, to)
    return None


def _direction(start: str, to: str) -> str | None:
    """Return the move along a straight line between two cells; None if it is not straight."""
    row, col = map(int, start[1:-1].split(","))
    to_row, to_col = map(int, to[1:-1].split(","))
    if (row == to_row) == (col == to_col):
        return None
    if row == to_row:
        return "right" if to_col > col else "left"
    return "down" if to_row > row else "up"


def _say(template: str, *cells: str) -> str:
    """Fill the names of cells into a template, in order."""
    for cell in cells:
        template = template.replace("{cell}", cell, 1)
    return template
