from .game import Game2048

GAME = Game2048()
