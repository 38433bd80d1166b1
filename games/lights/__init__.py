from .game import Lights

GAME = Lights()
