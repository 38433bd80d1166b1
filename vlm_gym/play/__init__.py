"""Human play: a person meets the same pictures, seeds, limits and records as a model."""

from vlm_gym.play.session import Note, Session
from vlm_gym.play.terminal import play_in_terminal
from vlm_gym.play.window import play_in_window

__all__ = ["Note", "Session", "play_in_terminal", "play_in_window"]
