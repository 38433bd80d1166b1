from .game import Swap

GAME = Swap()
