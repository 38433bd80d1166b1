"""A solver for Swap that looks at known tiles only: what may fall in later counts as nothing."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from .board import Grid, traded

LATER = 0.9
"""What a tile is worth that goes one swap later."""
PATIENCE = 5000
"""Positions looked at before a pile counts as one that cannot be cleared."""
NUMBERS = ("three", "four", "five", "six", "seven", "eight", "nine", "ten")


def played(cells: bytes, grid: Grid, action: str) -> tuple[bytes, int]:
    """Swap and settle without refill; count the tiles that went."""
    return grid.settle(traded(cells, *grid.swaps[action]))


@lru_cache(maxsize=1 << 10)
def values(cells: bytes, grid: Grid, piled: bool) -> Mapping[str, float]:
    """Judge every legal swap: 1 if the pile can be cleared after it, else below 1 and rising with the tiles
    that it and the best swap after it take away."""
    known: dict[bytes, bool] = {}
    judged = {}
    for action in grid.legal(cells):
        after, gone = played(cells, grid, action)
        tiles = gone + LATER * max([played(after, grid, then)[1] for then in grid.legal(after)], default=0)
        judged[action] = 1.0 if piled and clears(after, grid, known) else tiles / (tiles + 10)
    return judged


def clears(cells: bytes, grid: Grid, known: dict[bytes, bool]) -> bool:
    """Tell whether a pile can be cleared, by depth-first search; `known` collects what it found."""
    if cells not in known:
        if len(known) >= PATIENCE:
            return False
        kinds = set(cells) - {0}
        # One or two tiles of a kind never make a line again.
        known[cells] = not kinds or (
            all(cells.count(kind) >= 3 for kind in kinds)
            and any(clears(played(cells, grid, action)[0], grid, known) for action in grid.legal(cells))
        )
    return known[cells]


def reasons(cells: bytes, grid: Grid, action: str, words: Sequence[str], piled: bool) -> str:
    """Say what comes into line and which tile goes where, then what follows from it."""
    after = traded(cells, *grid.swaps[action])
    says = []
    for source, place in (grid.swaps[action], grid.swaps[action][::-1]):
        (row, col), kind = divmod(place, grid.cols), words[after[place]]
        across = run(after[row * grid.cols : (row + 1) * grid.cols], col)
        down = run(after[col :: grid.cols], row)
        if across >= 3:
            says.append(f"{NUMBERS[across - 3]} {kind} in row {row + 1}.")
        if down >= 3:
            says.append(f"{NUMBERS[down - 3]} {kind} in column {col + 1}.")
        if max(across, down) >= 3:
            before = divmod(source, grid.cols)
            says.append(f"{kind} goes from ({before[0] + 1},{before[1] + 1}) to ({row + 1},{col + 1}).")
    left, gone = grid.settle(after)
    if piled and clears(left, grid, {}):
        says.append("all other tiles can be cleared then.")
    elif gone > grid.lines(after).bit_count():
        says.append(f"{gone} tiles go in all.")
    return " ".join(says[:3])


def run(line: bytes, at: int) -> int:
    """Count the equal tiles in a row around a place."""
    kind = line[at : at + 1]
    return len(line) - len(line[at:].lstrip(kind)) - len(line[:at].rstrip(kind))
