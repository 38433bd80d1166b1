"""Thoughts for Shisen-Sho: find a kind of tile that can go whole, and take a pair of it.

Taking tiles away only opens paths. So a kind may go at no risk if its tiles make pairs that paths join now.
Kinds are looked at in the order of their first tiles. Of a kind that cannot go whole, the thought names a
tile that no path joins to an equal one, or it states that the tiles do not all find partners. Of the first
kind that can, it names the pairs: two cells, and the line along which the path between them runs. Row 0 and
column 0 are outside the board. The last pair is taken.

Where no kind can go whole, it matters which tiles go together. The thought then takes the first pair after
which a search finds a way to clear the board (`solver.can_clear`), else one after which most tiles can go.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from vlm_gym.cells import cell_names
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought, parse_sentence

from .paths import Link, ways
from .solver import Layout, found, safe, value, whole

ALONE = "{tile} {cell} alone"
ODD = "{tile} not in pairs"
PAIR = "{tile} {cell} {cell} {line}"
WHOLE = "{tile} {cell} {cell} {line} and all go"
REST = "{tile} {cell} {cell} {line} and the rest can go"
MOST = "{tile} {cell} {cell} {line} and most can go"
GRAMMAR = (ALONE, ODD, PAIR, WHOLE, REST, MOST)

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
    steps: list[str] = []
    pairs: Sequence[Link] = ()
    for tiles in _kinds(layout.cells):
        pairs = whole(layout, layout.cells[tiles[0]]) or ()
        if pairs:
            break
        steps.append(next(_failing(layout, words, tiles)))
    if pairs:
        steps += [next(_pair(layout, words, PAIR, link)) for link in pairs[:-1]]
        template = WHOLE
        link = pairs[-1]
    else:
        template, link = _risky(layout)
    steps.append(next(_pair(layout, words, template, link)))
    return Thought(tuple(steps), link.action, value(layout, link))


def facts(layout: Layout, words: tuple[str, ...]) -> frozenset[str]:
    """Return all true sentences about a board.

    What pairs leave to be taken is only said where no kind can go whole.
    """
    return frozenset(_facts(layout, words))


def _facts(layout: Layout, words: tuple[str, ...]) -> Iterator[str]:
    for tiles in _kinds(layout.cells):
        if not whole(layout, layout.cells[tiles[0]]):
            yield from _failing(layout, words, tiles)
    links = found(layout)
    for link in links:
        yield from _pair(layout, words, PAIR, link)
        if safe(layout, link):
            yield from _pair(layout, words, WHOLE, link)
    if any(safe(layout, link) for link in links):
        return
    values = [value(layout, link) for link in links]
    best = max(values)
    for link, worth in zip(links, values, strict=True):
        if worth == best:
            yield from _pair(layout, words, REST if best == 1 else MOST, link)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the pair that the steps imply; None if they imply none."""
    last = parse_sentence(steps[-1], GRAMMAR) if steps else None
    if last is None or last[0] not in (WHOLE, REST, MOST):
        return None
    cells = last[1][1:3]
    return " ".join(sorted(cells, key=lambda cell: [*map(int, cell[1:-1].split(","))]))


def _kinds(cells: bytes) -> Iterator[list[int]]:
    """Yield the places of the tiles of each kind, kinds in the order of their first tiles."""
    for kind in dict.fromkeys(cells):
        if kind:
            yield [place for place, other in enumerate(cells) if other == kind]


def _failing(layout: Layout, words: tuple[str, ...], tiles: Sequence[int]) -> Iterator[str]:
    """Yield why a kind cannot go whole: each tile that is alone, and that not all find partners."""
    joined = {place for link in found(layout) for place in (link.first, link.second)}
    name = cell_names(len(layout.cells) // layout.cols, layout.cols)
    for place in tiles:
        if place not in joined:
            yield f"{words[place]} {name[place]} alone"
    yield f"{words[tiles[0]]} not in pairs"


def _pair(layout: Layout, words: tuple[str, ...], template: str, link: Link) -> Iterator[str]:
    """Yield a sentence about a pair for each line that joins it, the straightest and shortest path first."""
    one, other = link.action.split()
    for line in ways(link, layout.cols, layout.bends):
        said = template.replace("{tile}", words[link.first]).replace("{line}", line)
        yield said.replace("{cell}", one, 1).replace("{cell}", other, 1)


def _risky(layout: Layout) -> tuple[str, Link]:
    """Choose a pair where no kind can go whole: the first of those after which the most can go."""
    best: Link | None = None
    most = -1.0
    for link in found(layout):
        worth = value(layout, link)
        if worth == 1:
            return REST, link
        if worth > most:
            best = link
            most = worth
    assert best is not None
    return MOST, best
