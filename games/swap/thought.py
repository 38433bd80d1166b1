"""Thoughts for Swap: search each line for two equal tiles, and the neighbours of the gap for a third.

Columns are searched from the left, then rows from the bottom up: of swaps that take equally many tiles, the
first ones in this order reach goals soonest. Three cells of a line that hold two equal tiles and another one
have a gap.

Where all swaps serve the goal alike, a sentence names each gap: the line, its tile, and the cell. The
sentences after it name the neighbours of the gap and what they hold, up to the first that holds such a tile,
which is swapped into the gap. A neighbour of two gaps is named for each of them.

Where tiles count, one sentence a swap names the line, the tile, the gap, the neighbour that fills it, and how
many tiles go. The first swap that takes six or more is played, else the first of those that take the most.

For a pile without refill, the sentences are the swaps of the best line of play: each says how many tiles
are there, a swap, and how many it takes.
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


class Candidate(NamedTuple):
    """A swap, the sentence about it, and the tiles that it takes; the swap is "" for none."""

    step: str
    action: str = ""
    taken: int = 0


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
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


Parsed = tuple[str, tuple[str, ...]] | None
"""The template and the slots of a step; None if it is no sentence of the grammar."""


def _filled(before: Sequence[Parsed], neighbour: str, held: str) -> str | None:
    """Return the swap of a neighbour into the gap that was named last, if its tile is the one for it."""
    for sentence in reversed(before):
        if sentence is not None and sentence[0] == GAP:
            _, tile, gap = sentence[1]
            return _swap(gap, neighbour) if tile == held and _adjacent(gap, neighbour) else None
    return None


def _adjacent(one: str, other: str) -> bool:
    """Check whether two cells share a side."""
    row, col = map(int, one[1:-1].split(","))
    other_row, other_col = map(int, other[1:-1].split(","))
    return abs(row - other_row) + abs(col - other_col) == 1


def _played(parsed: Sequence[Parsed]) -> str | None:
    """Return the first swap of a line of play whose numbers of tiles agree from one step to the next."""
    remaining: int | None = None
    first: str | None = None
    for sentence in parsed:
        if sentence is None or sentence[0] not in (MOVE, END):
            return None
        template, slots = sentence
        if remaining is not None and int(slots[0]) != remaining:
            return None
        if template == MOVE:
            tiles, one, other, taken_tiles = slots
            remaining = int(tiles) - int(taken_tiles)
            first = first or _swap(one, other)
        elif first is None:  # the end, before any swap
            return None
    return first


def _swap(one: str, other: str) -> str:
    """Spell the swap of two cells, in reading order."""
    return " ".join(sorted((one, other), key=lambda cell: [*map(int, cell[1:-1].split(","))]))


def _first_steps(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> tuple[str, ...]:
    """Search the lines until a neighbour fills a gap."""
    steps: list[str] = []
    for line in lines(grid):
        line_gaps = gaps(cells, line)
        if not line_gaps:
            steps.append(f"{line.name} has no swap")
        for gap in line_gaps:
            steps.append(_gap_step(grid, tiles, line, gap))
            for neighbour in gap.neighbours:
                steps.append(_look_step(cells, grid, tiles, neighbour))
                if cells[neighbour] == gap.kind:
                    return tuple(steps)
    raise AssertionError("a board without a swap is shuffled")


def _look_facts(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> Iterator[str]:
    """Yield each gap and what its neighbours hold, and the lines without a swap."""
    for line in lines(grid):
        has_swap = False
        for gap in gaps(cells, line):
            yield _gap_step(grid, tiles, line, gap)
            for neighbour in gap.neighbours:
                yield _look_step(cells, grid, tiles, neighbour)
                has_swap = has_swap or cells[neighbour] == gap.kind
        if not has_swap:
            yield f"{line.name} has no swap"


def _best_steps(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> tuple[str, ...]:
    """Search the lines until a swap takes enough tiles; else name the best of all."""
    steps: list[str] = []
    best = Candidate("")
    for line in lines(grid):
        has_swap = False
        for gap in gaps(cells, line):
            candidates = _candidates(cells, grid, tiles, line, gap)
            if not candidates:
                continue
            has_swap = True
            candidate = max(candidates, key=attrgetter("taken"))
            steps.append(candidate.step)
            if candidate.taken >= ENOUGH:
                return tuple(steps)
            if candidate.taken > best.taken:
                best = candidate
        if not has_swap:
            steps.append(f"{line.name} has no swap")
    return (*steps, f"best {best.action}")


def _swap_facts(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...]) -> Iterator[str]:
    """Yield what each swap takes, each that takes the most, and the lines without a swap."""
    every: list[Candidate] = []
    for line in lines(grid):
        candidates: list[Candidate] = []
        for gap in gaps(cells, line):
            candidates += _candidates(cells, grid, tiles, line, gap)
        if not candidates:
            yield f"{line.name} has no swap"
        every += candidates
    largest = max([candidate.taken for candidate in every], default=0)
    for candidate in every:
        yield candidate.step
        if candidate.taken == largest:
            yield f"best {candidate.action}"


def _candidates(
    cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], line: Line, gap: Gap
) -> list[Candidate]:
    """List the swaps that fill a gap."""
    names = cell_names(grid.rows, grid.cols)
    candidates: list[Candidate] = []
    for neighbour in gap.neighbours:
        if cells[neighbour] == gap.kind:
            action = _swap(names[gap.cell], names[neighbour])
            count = taken(cells, grid, action)
            step = f"{_gap_step(grid, tiles, line, gap)} {names[neighbour]} takes {count}"
            candidates.append(Candidate(step, action, count))
    return candidates


def _gap_step(grid: Grid, tiles: tuple[Symbol | None, ...], line: Line, gap: Gap) -> str:
    """Return the sentence that names a gap of a line, and the tile that would fill it."""
    return f"{line.name} {_words(tiles, gap.kind)} {cell_names(grid.rows, grid.cols)[gap.cell]}"


def _look_step(cells: bytes, grid: Grid, tiles: tuple[Symbol | None, ...], cell: int) -> str:
    """Return the sentence that names a cell and its tile."""
    return f"{cell_names(grid.rows, grid.cols)[cell]} {_words(tiles, cells[cell])}"


def _words(tiles: tuple[Symbol | None, ...], kind: int) -> str:
    """Return the words of a tile."""
    symbol = tiles[kind]
    assert symbol is not None
    return symbol.words


def _pile_steps(cells: bytes, grid: Grid) -> tuple[str, ...]:
    """Write the best line of play of a pile, swap by swap."""
    remaining = len(cells) - cells.count(0)
    steps: list[str] = []
    for move in best_line(cells, grid):
        steps.append(f"{remaining} tiles {move.action} takes {move.taken}")
        remaining -= move.taken
    return (*steps, f"{remaining} tiles stay")


def _pile_facts(cells: bytes, grid: Grid) -> Iterator[str]:
    """Yield, for each position that play can reach, what each swap takes, or the tiles where none is left."""
    for board in reachable(cells, grid):
        remaining = len(board) - board.count(0)
        legal = grid.legal(board)
        if not legal:
            yield f"{remaining} tiles stay"
        for action in legal:
            yield f"{remaining} tiles {action} takes {taken(board, grid, action)}"
