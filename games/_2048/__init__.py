"""2048 (Gabriele Cirulli, 2014): slide tiles, merge equal ones."""

from .game import Game2048

GAME = Game2048()
