from .game import ConnectFour

GAME = ConnectFour()
