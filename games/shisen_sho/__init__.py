from .game import ShisenSho

GAME = ShisenSho()
