"""The front picture of the project: every game once, and one game at every level of perception.

It is made by ``vlm-gym games --picture`` and never by hand.
"""

from importlib.resources import files
from typing import TYPE_CHECKING

from vlm_gym.gallery.show import THUMB, picture, reach
from vlm_gym.registry import find, names
from vlm_gym.render import LOOKS

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

REASONING = 2
SEED = 7
MOST_MOVES = 24
"""Moves of the solver at most. A board is drawn after half of them, in the middle of the game."""
LEVELS_OF = "shisen_sho_photos"
"""The game that the last row shows at every level of perception."""
COLUMNS = 5
GIF_COLORS = 256
"""Colors of the palette; it halves the file, and no difference is visible."""

_MARGIN = 28
_GAP = 18
_LABEL = 30
"""Height in pixels of the line of text above a board."""
_TITLE_CELLS = 2
"""The title takes the place of the first two boards."""
_PAPER = "#ffffff"
_INK = "#22262b"
_FAINT = "#6b717a"


def front_picture() -> "Image":
    """Draw the title and all games in rows of five, then the row of perception levels. Has a palette."""
    from PIL import Image, ImageDraw

    games = names()
    rows = -(-(_TITLE_CELLS + len(games)) // COLUMNS)
    paper = Image.new("RGB", (_left(COLUMNS) - _GAP + _MARGIN, _top(rows + 1) - _GAP + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(paper)
    _draw_title(pen, len(games))
    for index, name in enumerate(games, _TITLE_CELLS):
        _draw_board(paper, pen, divmod(index, COLUMNS), find(name).title, _board(name, 0, SEED))
    for level in range(len(LOOKS)):
        board = _board(LEVELS_OF, level, SEED + level)  # another seed brings other colors
        _draw_board(paper, pen, (rows, level), f"perception {level}", board)
    return paper.quantize(GIF_COLORS, dither=Image.Dither.NONE)


def _board(name: str, perception: int, seed: int) -> "Image":
    """Draw the middle of the solver's game."""
    moves = 0
    while moves < MOST_MOVES and not reach(name, REASONING, seed, moves).over:
        moves += 1
    return picture(name, {"level": perception, "size": THUMB}, REASONING, seed, moves // 2)


def _draw_title(pen: "ImageDraw", count: int) -> None:
    from PIL import ImageFont

    fonts = files("vlm_gym.assets") / "fonts"
    large = ImageFont.truetype(str(fonts / "rounded.ttf"), 64)
    small = ImageFont.truetype(str(fonts / "sans.ttf"), 22)
    lines = (
        f"{count} games for vision-language models.",
        "A model sees these pictures and",
        "replies with an action.",
    )
    left = _left(0)
    top = _top(0) + 24
    pen.text((left, top), "vlm-gym", _INK, large)
    for number, line in enumerate(lines):
        pen.text((left, top + 98 + 30 * number), line, _FAINT, small)


def _draw_board(paper: "Image", pen: "ImageDraw", cell: tuple[int, int], label: str, board: "Image") -> None:
    """Draw a board and the label above it at a (row, column) of the grid."""
    from PIL import ImageFont

    row, col = cell
    font = ImageFont.truetype(str(files("vlm_gym.assets") / "fonts" / "sans.ttf"), 17)
    pen.text((_left(col), _top(row) - _LABEL + 5), label, _FAINT, font)
    paper.paste(board, (_left(col), _top(row)))


def _left(col: int) -> int:
    return _MARGIN + col * (THUMB + _GAP)


def _top(row: int) -> int:
    return _MARGIN + _LABEL + row * (THUMB + _LABEL + _GAP)
