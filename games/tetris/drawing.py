"""The scene of Tetris: the piece above the field, the blocks, and what is to come."""

from vlm_gym.scene import Scene, Symbol

from .board import DRAWINGS
from .state import Fall

ENTRY = 2
"""Rows above the field, in which the next piece to place is shown."""
BLOCK = Symbol("icon", "block")
COLORS = {"O": "yellow", "I": "", "L": "orange", "J": "blue", "T": "purple", "S": "green", "Z": "red"}
"""The colour of a piece by its kind; "" is the icon's own."""
PIECES = {kind: Symbol("icon", "block", color) for kind, color in COLORS.items()}


def drawn(state: Fall) -> Scene:
    """Draw a position."""
    width = state.knobs.width
    entry: list[Symbol | None] = [None] * (ENTRY * width)
    drawing = DRAWINGS[state.piece]
    first_col = (width - len(drawing[0])) // 2
    for row, line in enumerate(drawing):
        for col, dot in enumerate(line):
            if dot == "#":
                entry[row * width + first_col + col] = PIECES[state.piece]
    field = [BLOCK if cell else None for cell in state.cells]
    notes = [f"rows to clear {state.remaining}"]
    if state.ahead:
        notes.append(f"next {' '.join(state.ahead)}")
    return Scene(ENTRY + state.knobs.height, width, (*entry, *field), notes=tuple(notes))
