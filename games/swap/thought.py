"""How to think at Swap: look along each line for two equal tiles, and for a third beside the gap.

Columns are looked at from the left, then rows from the bottom up: of swaps that take equally many tiles, the
first ones in this order reach goals soonest. Three cells of a line that hold two equal tiles and another one
have a gap. If a neighbour of the gap holds a third such tile, a sentence names the line, the tile, the gap
and this neighbour. A line without one has no swap. Where all swaps serve the goal alike, the first is played.
Where tiles count, the sentence also says how many go. The first swap that takes six or more is played, else
the first of those that take the most.

A pile without refill is played through in the mind: each sentence says how many tiles are there, a swap, and
how many it takes, up to the last swap of the best line of play.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import NamedTuple

from vlm_gym.cells import names
from vlm_gym.scene import Symbol
from vlm_gym.thought import Thought, parse

from .board import Grid
from .solver import ENOUGH, best_line, reachable, taken, values

NONE = "{line} has no swap"
SWAP = "{line} {tile} {cell} {cell}"
TAKES = "{line} {tile} {cell} {cell} takes {n}"
BEST = "best {cell} {cell}"
MOVE = "{n} tiles {cell} {cell} takes {n}"
END = "{n} tiles stay"
GRAMMAR = (NONE, TAKES, SWAP, BEST, MOVE, END)


class Found(NamedTuple):
    """One sentence about a line, and the swap that it finds; "" for none."""

    step: str
    action: str = ""
    taken: int = 0


class Line(NamedTuple):
    """A row or a column: its cells, and for each of them its neighbours in the lines before and after."""

    name: str
    places: range
    beside: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=1 << 10)
def think(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], pile: bool, alike: bool) -> Thought:
    """Return the thought on a board that has a legal swap. `tiles` are the symbols of the kinds."""
    steps = _pile_steps(cells, grid) if pile else _scan_steps(cells, grid, tiles, alike)
    action = conclude(steps)
    assert action is not None
    return Thought(steps, action, values(cells, grid, pile, alike)[action])


def facts(
    cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], pile: bool, alike: bool
) -> frozenset[str]:
    """Return all true sentences about a board.

    Of a pile: what each swap takes of each position that play can reach, and how many tiles stay where no
    swap is left. Else: all swaps of each line, the lines without one, and each swap that takes the most.
    """
    if pile:
        return frozenset(_pile_facts(cells, grid))
    found = [*_scan(cells, grid, tiles, alike, every=True)]
    steps = [each.step for each in found]
    if not alike:
        most = max((each.taken for each in found), default=0)
        steps += [f"best {each.action}" for each in found if each.taken == most]
    return frozenset(steps)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the swap that the steps imply; None if they imply none."""
    parsed = [parse(step, GRAMMAR) for step in steps]
    if not parsed or parsed[-1] is None:
        return None
    template, slots = parsed[-1]
    if template == END:
        return _played(parsed)
    if template == BEST:
        return _swap(slots[0], slots[1])
    if template == SWAP or (template == TAKES and int(slots[4]) >= ENOUGH):
        return _swap(slots[2], slots[3])
    return None


def _played(parsed: Sequence[tuple[str, tuple[str, ...]] | None]) -> str | None:
    """Return the first swap of a line of play whose numbers of tiles agree from one step to the next."""
    left: int | None = None
    for each in parsed:
        if each is None or each[0] not in (MOVE, END):
            return None
        if left is not None and int(each[1][0]) != left:
            return None
        if each[0] == MOVE:
            left = int(each[1][0]) - int(each[1][3])
    if parsed[0] is None or parsed[0][0] == END:
        return None
    return _swap(parsed[0][1][1], parsed[0][1][2])


def _swap(one: str, other: str) -> str:
    """Spell the swap of two cells, in reading order."""
    return " ".join(sorted((one, other), key=lambda cell: [*map(int, cell[1:-1].split(","))]))


def _scan_steps(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], alike: bool) -> tuple[str, ...]:
    steps: list[str] = []
    best = Found("")
    for found in _scan(cells, grid, tiles, alike):
        steps.append(found.step)
        if found.action and (alike or found.taken >= ENOUGH):
            return tuple(steps)
        if found.taken > best.taken:
            best = found
    return (*steps, f"best {best.action}")


def _scan(
    cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], alike: bool, every: bool = False
) -> Iterator[Found]:
    """Yield the swaps of each line in the order of looking, and lines without one.

    Of the neighbours that fill a gap, `every` one has a sentence; else the first that takes the most tiles,
    or where all swaps are `alike`, the first.
    """
    name = names(grid.rows, grid.cols)
    for line in _lines(grid):
        gaps = _gaps(cells, line)
        if not any(gaps.values()):
            yield Found(f"{line.name} has no swap")
        for (gap, kind), fillers in gaps.items():
            symbol = tiles[kind]
            assert symbol is not None
            swaps = []
            for place in fillers:
                action = _swap(name[gap], name[place])
                step = f"{line.name} {symbol.words} {name[gap]} {name[place]}"
                if alike:
                    swaps.append(Found(step, action))
                else:
                    gone = taken(cells, grid, action)
                    swaps.append(Found(f"{step} takes {gone}", action, gone))
            if every or not swaps:
                yield from swaps
            else:
                yield max(swaps, key=attrgetter("taken"))


def _gaps(cells: bytes, line: Line) -> dict[tuple[int, int], list[int]]:
    """Find the gaps of a line: place and kind that fills it, and the neighbours that hold a tile of the kind.

    Neighbours beside the line come first, then those in it.
    """
    places = line.places
    found: dict[tuple[int, int], list[int]] = {}
    for start in range(len(places) - 2):
        three = places[start : start + 3]
        odd = _odd(cells, three)
        if odd is None:
            continue
        gap = three[odd]
        kind = cells[three[odd - 1]]
        near = list(line.beside[start + odd])
        if odd == 0 and start > 0:
            near.append(places[start - 1])
        if odd == 2 and start + 3 < len(places):
            near.append(places[start + 3])
        # Two threes can share a gap, as in `x - x x`.
        fillers = found.setdefault((gap, kind), [])
        fillers += [place for place in near if cells[place] == kind and place not in fillers]
    return found


def _odd(cells: bytes, three: Sequence[int]) -> int | None:
    """Return which of three cells holds another tile than the two equal ones; None where none does."""
    first, second, third = (cells[place] for place in three)
    if not (first and second and third) or first == second == third:
        return None
    if first == second:
        return 2
    if first == third:
        return 1
    return 0 if second == third else None


@cache
def _lines(grid: Grid) -> tuple[Line, ...]:
    """List the lines of a board in the order of looking."""
    rows = [range(row * grid.cols, (row + 1) * grid.cols) for row in range(grid.rows)]
    cols = [range(col, grid.rows * grid.cols, grid.cols) for col in range(grid.cols)]
    across = [_line(f"row {number}", number, rows) for number in range(grid.rows, 0, -1)]
    down = [_line(f"column {number}", number, cols) for number in range(1, grid.cols + 1)]
    return (*down, *across)


def _line(name: str, number: int, lines: Sequence[range]) -> Line:
    """Describe the line of this number, from 1, among all rows or all columns."""
    places = lines[number - 1]
    near = [lines[other] for other in (number - 2, number) if 0 <= other < len(lines)]
    beside = tuple([tuple([other[at] for other in near]) for at in range(len(places))])
    return Line(name, places, beside)


def _pile_steps(cells: bytes, grid: Grid) -> tuple[str, ...]:
    left = len(cells) - cells.count(0)
    steps: list[str] = []
    for move in best_line(cells, grid):
        steps.append(f"{left} tiles {move.action} takes {move.taken}")
        left -= move.taken
    return (*steps, f"{left} tiles stay")


def _pile_facts(cells: bytes, grid: Grid) -> Iterator[str]:
    for board in reachable(cells, grid):
        left = len(board) - board.count(0)
        legal = grid.legal(board)
        if not legal:
            yield f"{left} tiles stay"
        for action in legal:
            yield f"{left} tiles {action} takes {taken(board, grid, action)}"
