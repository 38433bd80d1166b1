"""Thoughts for Shisen-Sho: look along one line after the other until a pair is found that can go.

A path runs along a line, a row or a column, and leaves both tiles at right angles to it or in it. Row 0 and
column 0 lie outside the board, as do the row and the column behind the last. Paths that may turn twice are
looked for there first: nothing stands in the way, so two outermost tiles can go if they are equal. A sentence
names the cell and the tile of each, in order, until a tile comes that was named before on the same line. The
sentence then goes on with the cell of that one, directly after the tile: what a model has to find is the cell
before an equal tile. On a line of the board a sentence names a pair, or says that there is none.

The first pair is taken after which all other tiles can still go, as far as a search finds (`solver.value`).
In 96 to 100 % of positions, depending on the level, that is the first pair found (200 positions a level,
60 of level 4). Where no pair leaves a board that can be cleared, the first that leaves the fewest tiles is
taken.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from vlm_gym.cells import cell_names
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought, parse_sentence

from .paths import Link, ways
from .solver import Layout, takeable, value

LOOK = "{line} {cell} {tile}"
NONE = "{line} has no pair"
LATER = "{line} {cell} {tile} {cell} leaves tiles"
TAKE = "{line} {cell} {tile} {cell}"
GRAMMAR = (LOOK, NONE, LATER, TAKE)

_NO_WORDS = re.compile(r"[.,:;()<>|\s]+")


class Look(NamedTuple):
    """A look along a line: at an outermost tile, or at all pairs if the line lies in the board.

    `links` are the pairs of the tile with equal ones that were named before on the line, or all of the line.
    """

    line: str
    cell: int | None
    links: tuple[Link, ...]


def spoken(words: str) -> str:
    """Return the words of a symbol as a sentence has them: in small letters, without signs, four at most."""
    return " ".join(_NO_WORDS.sub(" ", words.lower()).split()[:4])


def tile_words(scene: Scene) -> tuple[str, ...]:
    """Name the tile of each cell as thoughts do; "" for an empty one."""
    return tuple([spoken(symbol.words) if symbol else "" for symbol in scene.cells])


@lru_cache(maxsize=1 << 10)
def think(layout: Layout, words: tuple[str, ...]) -> Thought:
    """Return the thought on a board that has a pair to take. `words` name the tile of each cell."""
    best = _best(layout)
    rejected = set[Link]()
    steps = list[str]()
    for look in _looks(layout):
        before = len(steps)
        for link in look.links:
            if value(layout, link) == best:
                steps.append(_pair_step(TAKE, look, link, words))
                return Thought(tuple(steps), link.action, best)
            if link not in rejected:
                rejected.add(link)
                steps.append(_pair_step(LATER, look, link, words))
        if look.cell is not None and len(steps) == before:
            steps.append(_look_step(look, layout, words))
        elif look.cell is None and not look.links:
            steps.append(NONE.replace("{line}", look.line))
    raise AssertionError(f"no pair has the value {best}, the best of {layout}")


def facts(layout: Layout, words: tuple[str, ...]) -> frozenset[str]:
    """Return all true sentences about a board.

    That a pair leaves tiles is only said of those that come before the pair that is taken: to know it of all
    pairs takes a search for each.
    """
    return frozenset(_facts(layout, words))


def _facts(layout: Layout, words: tuple[str, ...]) -> Iterator[str]:
    yield from think(layout, words).steps
    for look in _looks(layout):
        if look.cell is not None:
            yield _look_step(look, layout, words)
        elif not look.links:
            yield NONE.replace("{line}", look.line)
        for link in look.links:
            yield _pair_step(TAKE, look, link, words)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the pair that the steps imply; None if they imply none."""
    last = parse_sentence(steps[-1], GRAMMAR) if steps else None
    if last is None:
        return None
    template, slots = last
    return _pair(slots[1], slots[3]) if template == TAKE else None


def _pair(one: str, other: str) -> str:
    """Spell a pair of cells, in reading order."""
    return " ".join(sorted((one, other), key=lambda cell: [*map(int, cell[1:-1].split(","))]))


@lru_cache(maxsize=1 << 10)
def _looks(layout: Layout) -> tuple[Look, ...]:
    """List the looks at a board, in the order of looking: along the lines outside, then along its own."""
    cols = layout.cols
    rows = len(layout.cells) // cols
    looks = list[Look]()
    if layout.bends == 2:
        links = {(link.first, link.second): link for link in takeable(layout)}
        for line, cells in _outermost(layout).items():
            named = list[int]()
            for cell in cells:
                equal = [other for other in named if layout.cells[other] == layout.cells[cell]]
                looks.append(
                    Look(line, cell, tuple([links[min(cell, one), max(cell, one)] for one in equal]))
                )
                named.append(cell)
    along = {f"row {row}": list[Link]() for row in range(1, rows + 1)}
    along |= {f"column {column}": list[Link]() for column in range(1, cols + 1)}
    for link in takeable(layout):
        for line in ways(link, cols, layout.bends):
            if line in along:
                along[line].append(link)
    return (*looks, *(Look(line, None, tuple(links)) for line, links in along.items()))


def _outermost(layout: Layout) -> dict[str, list[int]]:
    """List the first tile of each column as seen from the rows outside, and of each row from the columns."""
    cols = layout.cols
    cells = range(len(layout.cells))
    rows = len(layout.cells) // cols
    columns = [cells[column::cols] for column in range(cols)]
    across = [cells[row * cols : (row + 1) * cols] for row in range(rows)]
    views = {
        "row 0": columns,
        "column 0": across,
        f"row {rows + 1}": [column[::-1] for column in columns],
        f"column {cols + 1}": [row[::-1] for row in across],
    }
    return {line: list(_first_tiles(layout.cells, views[line])) for line in views}


def _first_tiles(cells: bytes, ways_in: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield the first cell with a tile on each way into the board."""
    for way in ways_in:
        for cell in way:
            if cells[cell]:
                yield cell
                break


@lru_cache(maxsize=1 << 10)
def _best(layout: Layout) -> float:
    """Return the value of the best pair. Pairs are judged in the order of looking until all tiles can go."""
    best = 0.0
    for look in _looks(layout):
        for link in look.links:
            best = max(best, value(layout, link))
            if best == 1:
                return best
    return best


def _look_step(look: Look, layout: Layout, words: Sequence[str]) -> str:
    """Write the sentence that names an outermost tile."""
    assert look.cell is not None
    name = cell_names(len(layout.cells) // layout.cols, layout.cols)[look.cell]
    return f"{look.line} {name} {words[look.cell]}"


def _pair_step(template: str, look: Look, link: Link, words: Sequence[str]) -> str:
    """Write a sentence about a pair on a line; the tile that was looked at last comes first."""
    cells = link.action.split()
    if look.cell == link.second:
        cells.reverse()
    said = template.replace("{line}", look.line).replace("{tile}", words[link.first])
    for cell in cells:
        said = said.replace("{cell}", cell, 1)
    return said
