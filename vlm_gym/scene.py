"""What there is to see, between the rules and the pixels.

A scene is also the ground truth for perception: it describes itself in words, and grades a description.
"""

from itertools import chain
from typing import NamedTuple

COLORS = ("red", "blue", "green", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross", "hexagon")
"""What a symbol of kind ``shape`` can be."""


class Symbol(NamedTuple):
    """One thing on a board, by meaning and not by looks.

    The renderer knows these kinds: ``number`` (a tile with a number), ``shape`` (one of `SHAPES` in one of
    `COLORS`), ``text`` (one to four characters on a tile) and ``picture`` (the file `variant`, relative to
    ``assets/pictures`` or absolute). `variant` is for the eye alone: it is no part of the words, so two
    pictures of a cat read the same.
    """

    kind: str
    name: str
    color: str = ""
    variant: str = ""

    @property
    def words(self) -> str:
        """Name the symbol as a description does: ``red circle``, ``16``, ``cat``."""
        return f"{self.color} {self.name}" if self.color else self.name


class _Words(dict["Symbol | None", str]):
    """The words of every cell met so far: a look-up costs half of spelling them out."""

    def __missing__(self, cell: Symbol | None) -> str:
        """Spell the cell out; ``-`` for an empty one."""
        words = self[cell] = "-" if cell is None else cell.words
        return words


_words = _Words()


class Scene(NamedTuple):
    """A board of `rows` × `cols` cells, row by row from the top left; None is an empty cell."""

    rows: int
    cols: int
    cells: tuple[Symbol | None, ...]

    def grid(self) -> list[list[str]]:
        """List the words of every cell, row by row; ``-`` for an empty one."""
        words = [*map(_words.__getitem__, self.cells)]
        return [words[start : start + self.cols] for start in range(0, len(words), self.cols)]

    def describe(self) -> str:
        """Tell the board in its canonical words: one line a row, ``2 | - | 16 | -``."""
        return "\n".join([" | ".join(row) for row in self.grid()])

    def grade(self, words: str) -> float:
        """Score a description: the share of cells read rightly, in [0, 1].

        Cells are compared by place, without regard to case and spaces. Cells that were left out are wrong,
        and so are cells too many: the share is of whichever board is larger.
        """
        claimed = [line.split("|") for line in words.strip().split("\n")]
        truth = self.grid()
        right = sum(
            _same(mine, true)
            for row, true_row in zip(claimed, truth, strict=False)
            for mine, true in zip(row, true_row, strict=False)
        )
        return right / max(sum(map(len, claimed)), self.rows * self.cols)

    def misread(self, words: str) -> dict[int, str]:
        """List the cells that a description gets wrong, by index, and what it says there; "" for nothing."""
        claimed = [line.split("|") for line in words.strip().split("\n")]
        wrong = {}
        for index, true in enumerate(chain(*self.grid())):
            row, col = divmod(index, self.cols)
            said = claimed[row][col] if row < len(claimed) and col < len(claimed[row]) else ""
            if not _same(said, true):
                wrong[index] = said.strip()
        return wrong


def _same(said: str, true: str) -> bool:
    return said.strip() == true or _fold(said) == _fold(true)


def _fold(words: str) -> str:
    return " ".join(words.split()).lower()
