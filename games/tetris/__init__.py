from .game import Tetris

GAME = Tetris()
