"""Swap: two neighbours trade places to put three equal tiles in line."""

from .game import Swap

GAME = Swap()
