"""Scene to picture: the one renderer of every game, and the perception axis."""

from vlm_gym.render.frames import Frame
from vlm_gym.render.layout import Layout, layout_of
from vlm_gym.render.look import LOOKS, Look, look
from vlm_gym.render.painter import Painter, draw
from vlm_gym.render.theme import THEMES

__all__ = ["LOOKS", "THEMES", "Frame", "Layout", "Look", "Painter", "draw", "layout_of", "look"]
