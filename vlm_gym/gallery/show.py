"""Pictures for people: a single board as a model gets it, and sheets that lay levels side by side."""

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from vlm_gym.envs.single import check_seed
from vlm_gym.game import State
from vlm_gym.knobs import Choice
from vlm_gym.prompt import hint, instructions
from vlm_gym.registry import find
from vlm_gym.render import LOOKS, draw, look

if TYPE_CHECKING:
    from PIL.Image import Image

THUMB = 224
"""Pixels of one board on a sheet."""

_GAP = 12
_PAPER = "#ffffff"
_INK = "#22262b"
_FAINT = "#7a808a"


def reach(name: str, reasoning: Choice, seed: int, moves: int = 0) -> State:
    """Deal a position, and play some moves by the solver, or by the first legal action without one."""
    game = find(name)
    state: State = game.start(check_seed(seed) or 0, game.settle(reasoning))
    for _ in range(moves):
        if state.over:
            break
        plan = game.solve(state)
        state = game.step(state, plan.action if plan else game.legal(state)[0]).state
    return state


def picture(name: str, perception: Choice, reasoning: Choice, seed: int, moves: int = 0) -> "Image":
    """Draw the picture that a model gets, pixel for pixel."""
    from PIL import Image

    state = reach(name, reasoning, seed, moves)
    return Image.fromarray(draw(find(name).scene(state), look(perception), state.seed, state.turn))


def describe(name: str, reasoning: Choice, seed: int, moves: int = 0) -> str:
    """Return the same position as text: the instructions, the description of the board, the legal actions."""
    game = find(name)
    state = reach(name, reasoning, seed, moves)
    advice = f"\n\nsolver: {hint(game, state)}" if game.solve(state) else ""
    legal = ", ".join(game.legal(state)) or "none, the game is over"
    return f"{instructions(game, state.knobs)}\n\n{game.scene(state).describe()}\n\nlegal: {legal}{advice}"


def contact_sheet(name: str, seed: int) -> "Image":
    """Draw all 5 x 5 levels of a game: perception across, reasoning down."""
    return draw_boards(name, range(5), seed)


def draw_boards(name: str, levels: Sequence[int], seed: int, moves: int = 0) -> "Image":
    """Draw boards of `THUMB` pixels: all perception levels across, these reasoning levels down."""
    from PIL import Image, ImageDraw, ImageFont

    fonts = files("vlm_gym.assets") / "fonts"
    big = ImageFont.truetype(str(fonts / "rounded.ttf"), 30)
    small = ImageFont.truetype(str(fonts / "sans.ttf"), 15)
    top = 96
    left = 40
    step = THUMB + _GAP
    paper = Image.new("RGB", (left + len(LOOKS) * step + _GAP, top + len(levels) * step + _GAP), _PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((left, 18), find(name).title, _INK, big)
    for col in range(len(LOOKS)):
        pen.text((left + col * step, top - 26), f"perception {col}", _FAINT, small)
    for row, reasoning in enumerate(levels):
        strip = Image.new("RGB", (THUMB, 24), _PAPER)
        ImageDraw.Draw(strip).text((0, 3), f"reasoning {reasoning}", _FAINT, small)
        paper.paste(strip.rotate(90, expand=True), (8, top + row * step))
        for col in range(len(LOOKS)):
            board = picture(name, {"level": col, "size": THUMB}, reasoning, seed, moves)
            paper.paste(board, (left + col * step, top + row * step))
    return paper
