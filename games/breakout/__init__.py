from .game import Breakout

GAME = Breakout()
