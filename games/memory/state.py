"""The knobs and the state of Concentration, and the part of it that the player has seen."""

from dataclasses import dataclass

from vlm_gym.game import Board, GameKnobs
from vlm_gym.knobs import knob

from .cards import KINDS, card_name
from .thought import Known


@dataclass(frozen=True, kw_only=True)
class MemoryKnobs(GameKnobs):
    """The reasoning axis of Concentration."""

    rows: int = knob(4, "rows", (2, 8))
    cols: int = knob(4, "columns; rows times columns is even", (2, 8))
    kinds: int = knob(
        8, "kinds of cards, at most one for each pair; fewer kinds make more matches", (2, KINDS)
    )
    shown: int = knob(2, "cards that lie open at once; the next turn then covers them", (2, 4))

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = self.rows * self.cols
        if cells % 2:
            raise ValueError(f"{self.rows} x {self.cols} cards are not possible; make rows or cols even")
        if self.kinds > cells // 2:
            raise ValueError(f"kinds={self.kinds} is not possible here; it takes 2 to {cells // 2}")


@dataclass(frozen=True, kw_only=True)
class Table(Board[MemoryKnobs]):
    """The cards by kind, 0 for one that was taken; the cells that lie open; 1 for each that was shown."""

    open: tuple[int, ...] = ()
    seen: bytes

    @property
    def room(self) -> int:
        """Return how many cards can be turned before the open ones are covered, which may be next."""
        full = len(self.open) == self.knobs.shown
        return self.knobs.shown - (0 if full else len(self.open))

    @property
    def known(self) -> Known:
        """Collect what the player has been shown of the cards on the table."""
        opened: dict[int, str] = {}
        covered: dict[int, str] = {}
        new: list[int] = []
        for cell, kind in enumerate(self.cells):
            if not self.seen[cell]:
                new.append(cell)
            elif cell in self.open:
                opened[cell] = card_name(kind)
            elif kind:
                covered[cell] = card_name(kind)
        return Known(self.knobs.rows, self.knobs.cols, opened, covered, tuple(new), self.room)
