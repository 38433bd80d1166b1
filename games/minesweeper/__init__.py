from .game import Minesweeper

GAME = Minesweeper()
