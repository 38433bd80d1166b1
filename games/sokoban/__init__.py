from .game import Sokoban

GAME = Sokoban()
