"""What there is to see, between the rules and the pixels.

A scene is also the ground truth for perception: it describes itself in words, and grades a description.
"""

import re
from itertools import chain
from typing import NamedTuple

COLORS = ("red", "blue", "green", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross", "hexagon")
"""What a symbol of kind ``shape`` can be."""
ICONS = (
    "wall", "box", "box on goal", "goal", "player", "player on goal", "key", "door", "hidden", "flag", "mine",
    "head", "body", "tail", "food", "block", "disc", "ball", "paddle", "brick", "dot",
    "up arrow", "right arrow", "down arrow", "left arrow",
)  # fmt: skip
"""What a symbol of kind ``icon`` can be."""

STEP = 0.25
"""The step, in cells, to which the place of an object is described and graded."""

_PLACED = re.compile(r"(.+?) at \(\s*(\d{1,3}(?:\.\d{0,4})?)\s*,\s*(\d{1,3}(?:\.\d{0,4})?)\s*\)", re.ASCII)
_LONGEST_LINE = 200
"""Characters of a line that can describe an object: the search for one is linear up to here."""


class Symbol(NamedTuple):
    """One symbol on a board, by its meaning and not by its looks.

    The renderer draws these kinds: ``number`` (a tile with a number), ``shape`` (one of `SHAPES` in one of
    `COLORS`), ``text`` (one to four characters on a tile), ``icon`` (one of `ICONS`, without a tile, in one
    of `COLORS` or in colours of its own) and ``picture`` (the file `variant`, relative to ``assets/pictures``
    or absolute). `variant` is for the eye alone: it is no part of the words, so two pictures of a cat read
    the same.
    """

    kind: str
    name: str
    color: str = ""
    variant: str = ""

    @property
    def words(self) -> str:
        """Name the symbol as a description does: ``red circle``, ``16``, ``cat``."""
        return f"{self.color} {self.name}" if self.color else self.name


class Object(NamedTuple):
    """A symbol that need not lie on the grid, drawn over the cells in the room of one cell.

    `row` and `col` locate its top left corner in cells from 0, with fractions: 0 to rows - 1, 0 to cols - 1.
    An object with whole numbers covers exactly one cell.
    """

    symbol: Symbol
    row: float
    col: float

    @property
    def words(self) -> str:
        """Describe the object: ``ball at (2.25,3.5)``, counted from 1 as actions are, rounded to `STEP`."""
        row, col = self.place
        return f"{self.symbol.words} at ({row + 1:g},{col + 1:g})"

    @property
    def place(self) -> tuple[float, float]:
        """Return row and column from 0, rounded to `STEP`."""
        return round(self.row / STEP) * STEP, round(self.col / STEP) * STEP

    def near(self, row: float, col: float) -> bool:
        """Check that a place, in cells from 0, is right within `STEP`."""
        slack = STEP + 1e-9
        return abs(row - self.row) <= slack and abs(col - self.col) <= slack


class _Words(dict["Symbol | None", str]):
    """The words of every cell seen so far: a look-up takes half the time of spelling them out."""

    def __missing__(self, cell: Symbol | None) -> str:
        """Spell the cell out; ``-`` for an empty one."""
        words = "-" if cell is None else cell.words
        self[cell] = words
        return words


_words = _Words()


class Scene(NamedTuple):
    """A board of `rows` × `cols` cells, row by row from the top left; None is an empty cell.

    `objects` lie over the cells, later ones above earlier ones. `notes` are short texts beside the board,
    such as the next piece or whose turn it is: one line each, without ``|``.
    """

    rows: int
    cols: int
    cells: tuple[Symbol | None, ...]
    objects: tuple[Object, ...] = ()
    notes: tuple[str, ...] = ()

    def grid(self) -> list[list[str]]:
        """List the words of every cell, row by row; ``-`` for an empty one."""
        words = [*map(_words.__getitem__, self.cells)]
        return [words[start : start + self.cols] for start in range(0, len(words), self.cols)]

    def placed(self) -> list[Object]:
        """List the objects in reading order: by their rounded places, then by their words."""
        return sorted(self.objects, key=lambda item: (item.place, item.symbol.words))

    def describe(self) -> str:
        """Describe the scene in its canonical words.

        One line a row, ``2 | - | 16 | -``; then one line an object in reading order; then one line a note.
        """
        lines = [" | ".join(row) for row in self.grid()]
        if self.objects:
            lines += [item.words for item in self.placed()]
        return "\n".join([*lines, *self.notes])

    def grade(self, words: str) -> float:
        """Score a description: the share of cells, objects and notes read rightly, in [0, 1].

        Cells are compared by place and notes by line, without regard to case and spaces; an object is right
        within `STEP`. What was left out is wrong, and so is what is too much: the share is of whichever is
        larger, the scene or the description.
        """
        claimed = [line.split("|") for line in words.strip().split("\n")]
        right = 0
        # Rows and cells in excess match nothing; they count in the denominator below.
        for row, true_row in zip(claimed, self.grid(), strict=False):
            right += sum(map(_same, row, true_row))
        total = len(self.cells)
        if self.objects or self.notes:
            beside = self._beside(claimed)
            right += beside.count(None)
            total += len(beside)
        return right / max(sum(map(len, claimed)), total)

    def misread(self, words: str) -> dict[int, str]:
        """List what a description gets wrong, and what it says there; "" for nothing.

        Keys count the cells row by row, then the objects in reading order, then the notes.
        """
        claimed = [line.split("|") for line in words.strip().split("\n")]
        wrong = {}
        for index, true in enumerate(chain(*self.grid())):
            row, col = divmod(index, self.cols)
            claim = claimed[row][col] if row < len(claimed) and col < len(claimed[row]) else ""
            if not _same(claim, true):
                wrong[index] = claim.strip()
        if self.objects or self.notes:
            for index, line in enumerate(self._beside(claimed), len(self.cells)):
                if line is not None:
                    wrong[index] = line
        return wrong

    def _beside(self, claimed: list[list[str]]) -> list[str | None]:
        """Compare the lines below the board with the objects in reading order and the notes.

        Returns an entry for each of them: None where it is right, else what the description says instead.
        """
        claims = list[_Claim]()
        texts = list[str]()
        for parts in claimed[self.rows :]:
            line = "|".join(parts).strip()
            claim = _read_object(line)
            # Further lines are wrong in any case; dropping them bounds the matching below.
            if claim is not None and len(claims) < len(self.objects):
                claims.append(claim)
            elif claim is None and len(texts) < len(self.notes):
                texts.append(line)
        entries = self._objects(claims)
        texts += [""] * (len(self.notes) - len(texts))
        for note, text in zip(self.notes, texts, strict=True):
            entries.append(None if _same(text, note) else text)
        return entries

    def _objects(self, claims: list["_Claim"]) -> list[str | None]:
        """Match every object with the nearest claim that is right within `STEP` and not yet used."""
        unused = list(claims)
        entries = list[str | None]()
        missing = list[int]()
        for index, item in enumerate(self.placed()):
            fitting = [claim for claim in unused if claim.fits(item)]
            if fitting:
                unused.remove(min(fitting, key=lambda claim: claim.distance(item)))
            else:
                missing.append(index)
            entries.append(None)
        # What is left of the claims is wrong: in order, each stands for an object that no claim fits.
        lines = [claim.line for claim in unused]
        lines += [""] * (len(missing) - len(lines))
        for index, line in zip(missing, lines, strict=False):
            entries[index] = line
        return entries


class _Claim(NamedTuple):
    """An object as a line describes it; the place in cells from 0."""

    line: str
    words: str
    row: float
    col: float

    def fits(self, item: Object) -> bool:
        return self.words == _fold(item.symbol.words) and item.near(self.row, self.col)

    def distance(self, item: Object) -> float:
        return abs(self.row - item.row) + abs(self.col - item.col)


def _read_object(line: str) -> _Claim | None:
    """Parse a line such as ``ball at (2.25,3.5)``; None if it is something else."""
    match = _PLACED.fullmatch(line[: _LONGEST_LINE + 1])
    if match is None:
        return None
    words, row, col = match.groups()
    return _Claim(line, _fold(words), float(row) - 1, float(col) - 1)


def _same(claim: str, true: str) -> bool:
    # Most claims are right letter by letter: the first comparison saves the others.
    return claim.strip() == true or _fold(claim) == _fold(true)


def _fold(words: str) -> str:
    return " ".join(words.split()).lower()
