"""Thoughts for Minesweeper: the mines that numbers make certain, then the cell that is safe for it.

A thought names only the mines beside the numbers that prove a cell safe. Where nothing is certain, it states
the lowest risk in percent, which only counting all layouts finds.
"""

from collections.abc import Sequence
from functools import lru_cache

from vlm_gym.cells import cell_names
from vlm_gym.thought import Thought, parse_sentence

from .solver import Proof, full, numbers, risks, safe

MINE = "{cell} makes {cell} a mine"
SAFE = "{cell} has its {n}, {cell} is safe"
SHARED = "{cell} and {cell} share {n}, {cell} is safe"
RISK = "the lowest risk is {n} at {cell}"
GRAMMAR = (MINE, SAFE, SHARED, RISK)


@lru_cache(maxsize=1 << 10)
def think(shown: bytes, size: int, mines: int) -> Thought:
    """Return the thought on a board with safe cells left."""
    proofs = safe(shown, size)
    if not proofs:
        step = _lowest(shown, size, mines)
        risk = risks(shown, size, mines)
        action = conclude((step,))
        assert action is not None
        return Thought((step,), action, 1 - risk[cell_names(size, size).index(action)])
    proof = min(proofs, key=lambda proof: len(_mines(shown, size, proof)) + (proof.other is not None))
    steps = (*_mines(shown, size, proof), _proof(shown, size, proof))
    return Thought(steps, cell_names(size, size)[proof.safe], 1.0)


@lru_cache(maxsize=1 << 10)
def facts(shown: bytes, size: int, mines: int) -> frozenset[str]:
    """Return all true sentences about a board."""
    name = cell_names(size, size)
    found = [_proof(shown, size, proof) for proof in safe(shown, size)]
    for place, hidden in numbers(shown, size):
        if len(hidden) == shown[place]:
            found += [f"{name[place]} makes {name[mine]} a mine" for mine in hidden]
    return frozenset([*found, _lowest(shown, size, mines)])


def conclude(steps: Sequence[str]) -> str | None:
    """Return the cell that the first decisive sentence calls safe, or the one of lowest risk."""
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (*_, cell)) if template != MINE:
                return cell
    return None


def _mines(shown: bytes, size: int, proof: Proof) -> tuple[str, ...]:
    """Write the sentences on the known mines beside the numbers of a proof."""
    name = cell_names(size, size)
    known = full(shown, size)
    beside = dict(numbers(shown, size))
    cells = beside[proof.one] | (frozenset() if proof.other is None else beside[proof.other])
    return tuple([f"{name[known[cell]]} makes {name[cell]} a mine" for cell in sorted(cells & known.keys())])


def _proof(shown: bytes, size: int, proof: Proof) -> str:
    name = cell_names(size, size)
    if proof.other is None:
        return f"{name[proof.one]} has its {shown[proof.one]}, {name[proof.safe]} is safe"
    found = len(dict(numbers(shown, size))[proof.one] & full(shown, size).keys())
    lacks = shown[proof.one] - found
    return f"{name[proof.one]} and {name[proof.other]} share {lacks}, {name[proof.safe]} is safe"


def _lowest(shown: bytes, size: int, mines: int) -> str:
    risk = risks(shown, size, mines)
    cell = min(risk, key=risk.__getitem__)
    return f"the lowest risk is {round(100 * risk[cell])} at {cell_names(size, size)[cell]}"
