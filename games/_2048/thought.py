"""Thoughts for 2048: what each row and column does, what each move is worth, then the best move.

A sentence about a line says all that the line can do: the points of its merges, else the ways it can slide.
A thought ends with the first line that makes the goal. Else it goes on to the moves, in the order up, left,
right, down: the points of a move and those of the best move after it, before a new tile comes. Where only
search tells moves apart (`solver.searched`), the thought states the value that search finds, in twentieths:
true, but not to be computed step by step. The move of the highest number is played, the first of equal ones.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from vlm_gym.thought import Thought, parse_sentence

from .board import merging, moves, slide
from .solver import judged, next_points, searched

GOAL = "{line} makes the goal"
MERGES = "{line} scores {n}"
SLIDES = "{line} slides both ways"
SLIDES_BACK = ("{line} slides left", "{line} slides up")
SLIDES_ON = ("{line} slides right", "{line} slides down")
STAYS = "{line} stays"
SCORES = "{move} scores {n} then {n}"
WORTH = "{move} is worth {n}"
BLOCKED = "{move} is blocked"
GRAMMAR = (GOAL, MERGES, SLIDES, *SLIDES_BACK, *SLIDES_ON, STAYS, SCORES, WORTH, BLOCKED)

ORDER = ("up", "left", "right", "down")
"""The order of the sentences. Equal moves go to one corner, where high tiles stay together."""


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
def think(cells: bytes, size: int, target: int, fours: float, goal: int) -> Thought:
    """Return the thought on a board that some move changes."""
    steps: list[str] = []
    for line in _lines(cells, size, target):
        steps.append(line)
        if line.endswith("makes the goal"):
            break
    else:
        steps += _moves(cells, size, target, fours, goal)
    action = conclude(steps)
    assert action is not None
    return Thought(tuple(steps), action, judged(cells, size, target, fours, goal)[action])


def facts(cells: bytes, size: int, target: int, fours: float, goal: int) -> frozenset[str]:
    """Return all true sentences about a board."""
    return frozenset([*_lines(cells, size, target), *_moves(cells, size, target, fours, goal)])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the move that the steps imply: it makes the goal, or has the highest of four numbers."""
    totals: dict[str, int] = {}
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (line,)) if template == GOAL:
                return "left" if line.startswith("row") else "up"
            case (template, (move, *numbers)) if template in (SCORES, WORTH, BLOCKED) and move in ORDER:
                totals.setdefault(move, sum(map(int, numbers)) if numbers else -1)
    if len(totals) < len(ORDER) or max(totals.values()) < 0:
        return None
    return max(ORDER, key=totals.__getitem__)


def _lines(cells: bytes, size: int, target: int) -> Iterator[str]:
    """Yield a sentence for each row, then for each column."""
    for word, across in (("row", True), ("column", False)):
        for number in range(size):
            line = cells[number * size :][:size] if across else cells[number::size]
            _, points = slide(line)
            template = _template(line, across, target)
            yield template.format(line=f"{word} {number + 1}", n=points)


def _template(line: bytes, across: bool, target: int) -> str:
    """Choose the template of the sentence about a line, which is a row if `across`, else a column."""
    merged = [2 << tile for tile in merging(line)]
    if target and max(merged, default=0) >= target:
        return GOAL
    if merged:
        return MERGES
    backwards = line[::-1]
    back = slide(line)[0] != line
    on = slide(backwards)[0] != backwards
    if back and on:
        return SLIDES
    column = not across
    if back:
        return SLIDES_BACK[column]
    return SLIDES_ON[column] if on else STAYS


def _moves(cells: bytes, size: int, target: int, fours: float, goal: int) -> Iterator[str]:
    """Yield a sentence for each move."""
    results = moves(cells, size)
    values = judged(cells, size, target, fours, goal)
    search = searched(cells, size, goal)
    for move in ORDER:
        if move not in results:
            yield BLOCKED.format(move=move)
        elif search:
            yield WORTH.format(move=move, n=round(20 * values[move]))
        else:
            after, points = results[move]
            yield f"{move} scores {points} then {next_points(after, size)}"
