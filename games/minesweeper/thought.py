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


@lru_cache(maxsize=1 << 10)  # `solve` calls it again
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


@lru_cache(maxsize=1 << 10)  # forks of one state are graded against the same facts
def facts(shown: bytes, size: int, mines: int) -> frozenset[str]:
    """Return all true sentences about a board."""
    names = cell_names(size, size)
    sentences = [_proof(shown, size, proof) for proof in safe(shown, size)]
    for cell, hidden in numbers(shown, size):
        if len(hidden) == shown[cell]:
            for mine in hidden:
                sentences.append(f"{names[cell]} makes {names[mine]} a mine")
    sentences.append(_lowest(shown, size, mines))
    return frozenset(sentences)


def conclude(steps: Sequence[str]) -> str | None:
    """Return the cell that the first decisive sentence calls safe, or the one of lowest risk."""
    for step in steps:
        match parse_sentence(step, GRAMMAR):
            case (template, (*_, cell)) if template != MINE:
                return cell
    return None


def _mines(shown: bytes, size: int, proof: Proof) -> tuple[str, ...]:
    """Write the sentences on the known mines beside the numbers of a proof."""
    names = cell_names(size, size)
    known = full(shown, size)
    beside = dict(numbers(shown, size))
    cells = beside[proof.one]
    if proof.other is not None:
        cells |= beside[proof.other]
    sentences = []
    for mine in sorted(cells & known.keys()):
        sentences.append(f"{names[known[mine]]} makes {names[mine]} a mine")
    return tuple(sentences)


def _proof(shown: bytes, size: int, proof: Proof) -> str:
    """Write the sentence that states a proof."""
    names = cell_names(size, size)
    if proof.other is None:
        return f"{names[proof.one]} has its {shown[proof.one]}, {names[proof.safe]} is safe"
    known_mines = dict(numbers(shown, size))[proof.one] & full(shown, size).keys()
    lacks = shown[proof.one] - len(known_mines)
    return f"{names[proof.one]} and {names[proof.other]} share {lacks}, {names[proof.safe]} is safe"


def _lowest(shown: bytes, size: int, mines: int) -> str:
    """Write the sentence on the cell of lowest risk, the first of equal ones."""
    risk = risks(shown, size, mines)
    cell = min(risk, key=risk.__getitem__)
    return f"the lowest risk is {round(100 * risk[cell])} at {cell_names(size, size)[cell]}"
