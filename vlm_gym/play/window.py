"""Play in a window: the very picture that a model sees, and beside it a panel."""

from typing import TYPE_CHECKING

from vlm_gym.actions import LONGEST
from vlm_gym.play.panel import ACCENT, HEIGHT, LINE, PAPER, WIDTH, draw_line, draw_panel
from vlm_gym.play.session import COMMANDS, Session
from vlm_gym.render import cells_at
from vlm_gym.window import Window

if TYPE_CHECKING:
    import pygame

MARGIN = 24
"""Around the picture, in pixels; its top left corner is at (MARGIN, MARGIN)."""
ENOUGH = 448
"""Pixels up to which a small picture is enlarged, by a whole factor, so that it stays exact."""
