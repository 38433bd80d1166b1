"""How to think at Swap: look along each line for two equal tiles, and for a third beside the gap.

Columns are looked at from the left, then rows from the bottom up: of swaps that take equally many tiles, the
first ones in this order reach goals soonest. Three cells of a line that hold two equal tiles and another one
have a gap.

Where all swaps serve the goal alike, a sentence names each gap: the line, its tile, and the cell. The
sentences after it name the neighbours of the gap and what they hold, up to the first that holds such a tile,
which is swapped into the gap. A neighbour of two gaps is named for each of them.

Where tiles count, one sentence a swap names the line, the tile, the gap, the neighbour that fills it, and how
many tiles go. The first swap that takes six or more is played, else the first of those that take the most.

A pile without refill is played through in the mind: each sentence says how many tiles are there, a swap, and
how many it takes, up to the last swap of the best line of play.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from vlm_gym.cells import cell_names
from vlm_gym.scene import Symbol
from vlm_gym.thought import Thought, parse_sentence

from .board import Grid
from .lines import Gap, Line, gaps, lines
from .solver import ENOUGH, best_line, reachable, taken, values

NONE = "{line} has no swap"
GAP = "{line} {tile} {cell}"
LOOK = "{cell} {tile}"
TAKES = "{line} {tile} {cell} {cell} takes {n}"
BEST = "best {cell} {cell}"
MOVE = "{n} tiles {cell} {cell} takes {n}"
END = "{n} tiles stay"
GRAMMAR = (NONE, GAP, LOOK, TAKES, BEST, MOVE, END)


class Found(NamedTuple):
    """One sentence about a line, and the swap that it finds; "" for none."""

    step: str
    action: str = ""
    taken: int = 0


@lru_cache(maxsize=1 << 10)
def think(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], pile: bool, alike: bool) -> Thought:
    """Return the thought on a board that has a legal swap. `tiles` are the symbols of the kinds."""
    if pile:
        steps = _pile_steps(cells, grid)
    elif alike:
        steps = _first_steps(cells, grid, tiles)
    else:
        steps = _best_steps(cells, grid, tiles)
    action = conclude(steps)
    assert action is not None
    return Thought(steps, action, values(cells, grid, pile, alike)[action])


def facts(
    cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], pile: bool, alike: bool
) -> frozenset[str]:
    """Return all true sentences about a board.

    Of a pile: what each swap takes of each position that play can reach, and how many tiles stay where no
    swap is left. Else the lines without a swap, and where all swaps are alike, what the neighbours of each
    gap hold; where they are not, what each swap takes, and each that takes the most.
    """
    if pile:
        return frozenset(_pile_facts(cells, grid))
    if alike:
        return frozenset(_look_facts(cells, grid, tiles))
    return frozenset(_swap_facts(cells, grid, tiles))


def conclude(steps: Sequence[str]) -> str | None:
    """Return the swap that the steps imply; None if they imply none."""
    parsed = [parse_sentence(step, GRAMMAR) for step in steps]
    if not parsed or parsed[-1] is None:
        return None
    template, slots = parsed[-1]
    if template == END:
        return _played(parsed)
    if template == BEST:
        return _swap(slots[0], slots[1])
    if template == TAKES and int(slots[4]) >= ENOUGH:
        return _swap(slots[2], slots[3])
    if template == LOOK:
        return _filled(parsed[:-1], *slots)
    return None


def _filled(before: Sequence[tuple[str, tuple[str, ...]] | None], neighbour: str, held: str) -> str | None:
    """Return the swap of a neighbour into the gap that was named last, if its tile is the one for it."""
    for each in reversed(before):
        if each is not None and each[0] == GAP:
            _, tile, gap = each[1]
            return _swap(gap, neighbour) if tile == held and _adjacent(gap, neighbour) else None
    return None


def _adjacent(one: str, other: str) -> bool:
    """Check whether two cells share a side."""
    row, col = map(int, one[1:-1].split(","))
    other_row, other_col = map(int, other[1:-1].split(","))
    return abs(row - other_row) + abs(col - other_col) == 1


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


def _first_steps(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> tuple[str, ...]:
    """Look along the lines until a neighbour fills a gap."""
    steps: list[str] = []
    for line in lines(grid):
        found = gaps(cells, line)
        if not found:
            steps.append(f"{line.name} has no swap")
        for gap in found:
            steps.append(_gap_step(grid, tiles, line, gap))
            for place in gap.near:
                steps.append(_look_step(cells, grid, tiles, place))
                if cells[place] == gap.kind:
                    return tuple(steps)
    raise AssertionError("a board without a swap is shuffled")


def _look_facts(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> Iterator[str]:
    """Yield each gap and what its neighbours hold, and the lines without a swap."""
    for line in lines(grid):
        found = gaps(cells, line)
        if not any(cells[place] == gap.kind for gap in found for place in gap.near):
            yield f"{line.name} has no swap"
        for gap in found:
            yield _gap_step(grid, tiles, line, gap)
            for place in gap.near:
                yield _look_step(cells, grid, tiles, place)


def _best_steps(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> tuple[str, ...]:
    """Look along the lines until a swap takes enough tiles; else name the best of all."""
    steps: list[str] = []
    best = Found("")
    for line in lines(grid):
        swaps = [_swaps(cells, grid, tiles, line, gap) for gap in gaps(cells, line)]
        if not any(swaps):
            steps.append(f"{line.name} has no swap")
        for each in swaps:
            if not each:
                continue
            found = max(each, key=attrgetter("taken"))
            steps.append(found.step)
            if found.taken >= ENOUGH:
                return tuple(steps)
            if found.taken > best.taken:
                best = found
    return (*steps, f"best {best.action}")


def _swap_facts(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> Iterator[str]:
    """Yield what each swap takes, each that takes the most, and the lines without a swap."""
    every: list[Found] = []
    for line in lines(grid):
        found: list[Found] = []
        for gap in gaps(cells, line):
            found += _swaps(cells, grid, tiles, line, gap)
        if not found:
            yield f"{line.name} has no swap"
        every += found
    most = max((each.taken for each in every), default=0)
    for each in every:
        yield each.step
        if each.taken == most:
            yield f"best {each.action}"


def _swaps(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], line: Line, gap: Gap) -> list[Found]:
    """List the swaps that fill a gap."""
    name = cell_names(grid.rows, grid.cols)
    found: list[Found] = []
    for place in gap.near:
        if cells[place] == gap.kind:
            action = _swap(name[gap.place], name[place])
            gone = taken(cells, grid, action)
            step = f"{_gap_step(grid, tiles, line, gap)} {name[place]} takes {gone}"
            found.append(Found(step, action, gone))
    return found


def _gap_step(grid: Grid, tiles: tuple[Symbol | None, ...], line: Line, gap: Gap) -> str:
    """Return the sentence that names a gap of a line, and the tile that would fill it."""
    return f"{line.name} {_words(tiles, gap.kind)} {cell_names(grid.rows, grid.cols)[gap.place]}"


def _look_step(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], place: int) -> str:
    """Return the sentence that names a cell and its tile."""
    return f"{cell_names(grid.rows, grid.cols)[place]} {_words(tiles, cells[place])}"


def _words(tiles: tuple[Symbol | None, ...], kind: int) -> str:
    """Return the words of a tile."""
    symbol = tiles[kind]
    assert symbol is not None
    return symbol.words


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
