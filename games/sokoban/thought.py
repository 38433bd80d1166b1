"""Thoughts for Sokoban: which box, to which goal, by which route, and from where it is pushed.

Boxes are listed in reading order up to the one that a shortest solution pushes first, with whether they are
home or wait. Then the route of that box is followed back, cell by cell, from its goal to the box. Last come
the cell to push from and that the walker reaches it. Where no solution is left, the first possible push
is played.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from vlm_gym.cells import cell_names
from vlm_gym.thought import Thought, parse_sentence

from .room import Push, Room, pushes, pushes_to, reached
from .solver import solution

HOME = "box {cell} is home"
WAITS = "box {cell} waits"
BELONGS = "box {cell} goes to goal {cell}"
LOST = "no solution is left"
COMES = "to {cell} from {cell}"
STAND = "stand at {cell}"
REACHED = "{cell} can be reached"
GRAMMAR = (HOME, WAITS, BELONGS, LOST, COMES, STAND, REACHED)

Position = tuple[Room, tuple[int, ...], int]
"""The room, the boxes and the walker."""


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
def think(room: Room, boxes: tuple[int, ...], walker: int) -> Thought:
    """Return the thought on a position in which some push is possible."""
    route = _route(room, boxes, walker)
    steps: list[str] = []
    if solution(room, boxes, walker):
        steps += _boxes(room, boxes, route[0].box)
    else:
        steps.append(_fill(room, LOST))
    steps += _goal(room, boxes, walker)
    for push in reversed(route):
        steps.append(_fill(room, COMES, push.to, push.box))
    steps.append(_fill(room, STAND, route[0].stand))
    steps.append(_fill(room, REACHED, route[0].stand))
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, float(solution(room, boxes, walker) is not None))


def facts(room: Room, boxes: tuple[int, ...], walker: int) -> frozenset[str]:
    """Return all true sentences about a position."""
    first = _route(room, boxes, walker)[0]
    sentences = [*_goal(room, boxes, walker), _fill(room, STAND, first.stand)]
    if solution(room, boxes, walker) is None:
        sentences.append(_fill(room, LOST))
    else:
        sentences += [_box(room, box) for box in boxes if box != first.box]
    for cell, wall in enumerate(room.walls):
        if not wall:
            for push in pushes_to(room, cell):
                sentences.append(_fill(room, COMES, cell, push.box))
    for cell in reached(room, boxes, walker):
        sentences.append(_fill(room, REACHED, cell))
    return frozenset(sentences)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the push that the steps imply: the last one of the route, from a cell that can be reached."""
    push = stand = None
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (to, box)) if template == COMES:
                push = f"{box} {to}"
            case (template, (cell,)) if template == STAND:
                stand = cell
            case (template, (cell,)) if template == REACHED and push is not None and cell == stand:
                return push
    return None


def _boxes(room: Room, boxes: tuple[int, ...], first: int) -> Iterator[str]:
    """Yield a sentence for each box before the one that is pushed first."""
    for box in boxes[: boxes.index(first)]:
        yield _box(room, box)


def _box(room: Room, box: int) -> str:
    return _fill(room, HOME if box in room.goals else WAITS, box)


def _goal(room: Room, boxes: tuple[int, ...], walker: int) -> Iterator[str]:
    """Yield which box goes to which goal, where there is a solution."""
    plan = solution(room, boxes, walker)
    if plan is not None:
        box = plan[0].box
        end = box
        for push in plan:
            if push.box == end:
                end = push.to
        yield _fill(room, BELONGS, box, end)


def _route(room: Room, boxes: tuple[int, ...], walker: int) -> list[Push]:
    """Return the route of the box that is pushed first, up to its goal or a cell where it was before."""
    plan = solution(room, boxes, walker)
    if plan is None:
        return [pushes(room, boxes, walker)[0]]
    route: list[Push] = []
    box = plan[0].box
    visited = {box}
    for push in plan:
        if push.box != box:
            continue
        if push.to in visited:
            break
        visited.add(push.to)
        route.append(push)
        box = push.to
    return route


def _fill(room: Room, template: str, *cells: int) -> str:
    """Fill the names of cells into a template, in order."""
    names = cell_names(room.size, room.size)
    sentence = template
    for cell in cells:
        sentence = sentence.replace("{cell}", names[cell], 1)
    return sentence
