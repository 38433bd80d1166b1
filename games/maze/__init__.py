from .game import Maze

GAME = Maze()
