"""Thoughts for Shisen-Sho: look along one line after the other until a pair is found that can go.

A path runs along a line, a row or a column, and leaves both tiles at right angles to it or in it. Row 0 and
column 0 lie outside the board, as do the row and the column behind the last. Nothing stands in the way there,
so paths that may turn twice are looked for outside first; other paths end in the line of a tile.

The first pair is taken after which all other tiles can still go, as far as a search finds (`solver.value`).
In 96 to 100 % of positions, depending on the level, that is the first pair found (200 positions a level,
60 of level 4). Where no pair leaves a board that can be cleared, the first that leaves the fewest tiles is
taken.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from vlm_gym.scene import Scene
from vlm_gym.thought import Thought, parse_sentence

from .paths import Link, ways
from .solver import Layout, takeable, value

NONE = "{line} has no pair"
LATER = "{line} {tile} {cell} {cell} leaves tiles"
TAKE = "{line} {tile} {cell} {cell}"
GRAMMAR = (NONE, LATER, TAKE)

_NO_WORDS = re.compile(r"[.,:;()<>|\s]+")


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
    for line, links in _lines(layout).items():
        if not links:
            steps.append(NONE.replace("{line}", line))
        for link in links:
            if value(layout, link) == best:
                steps.append(_sentence(TAKE, line, words, link))
                return Thought(tuple(steps), link.action, best)
            if link not in rejected:
                rejected.add(link)
                steps.append(_sentence(LATER, line, words, link))
    raise AssertionError(f"no pair has the value {best}, the best of {layout}")


def facts(layout: Layout, words: tuple[str, ...]) -> frozenset[str]:
    """Return all true sentences about a board.

    That a pair leaves tiles is only said of those that come before the pair that is taken: to know it of all
    pairs takes a search for each.
    """
    return frozenset(_facts(layout, words))


def _facts(layout: Layout, words: tuple[str, ...]) -> Iterator[str]:
    best = _best(layout)
    chosen = False
    for line, links in _lines(layout).items():
        if not links:
            yield NONE.replace("{line}", line)
        for link in links:
            yield _sentence(TAKE, line, words, link)
            chosen = chosen or value(layout, link) == best
            if not chosen:
                yield _sentence(LATER, line, words, link)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the pair that the steps imply; None if they imply none."""
    last = parse_sentence(steps[-1], GRAMMAR) if steps else None
    if last is None or last[0] != TAKE:
        return None
    cells = last[1][2:]
    return " ".join(sorted(cells, key=lambda cell: [*map(int, cell[1:-1].split(","))]))


@lru_cache(maxsize=1 << 10)
def _lines(layout: Layout) -> dict[str, list[Link]]:
    """Return the pairs that a path along each line joins, in reading order; lines in the order of looking."""
    cols = layout.cols
    rows = len(layout.cells) // cols
    lines = list[str]()
    if layout.bends == 2:
        lines += ["row 0", "column 0", f"row {rows + 1}", f"column {cols + 1}"]
    lines += [f"row {row}" for row in range(1, rows + 1)]
    lines += [f"column {column}" for column in range(1, cols + 1)]
    links = {line: list[Link]() for line in lines}
    for link in takeable(layout):
        for line in ways(link, cols, layout.bends):
            links[line].append(link)
    return links


@lru_cache(maxsize=1 << 10)
def _best(layout: Layout) -> float:
    """Return the value of the best pair. Pairs are judged in the order of looking until all tiles can go."""
    best = 0.0
    for links in _lines(layout).values():
        for link in links:
            best = max(best, value(layout, link))
            if best == 1:
                return best
    return best


def _sentence(template: str, line: str, words: Sequence[str], link: Link) -> str:
    """Write a sentence about a pair that a path along a line joins."""
    one, other = link.action.split()
    said = template.replace("{line}", line).replace("{tile}", words[link.first])
    return said.replace("{cell}", one, 1).replace("{cell}", other, 1)
