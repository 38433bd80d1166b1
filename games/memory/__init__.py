from .game import Memory

GAME = Memory()
