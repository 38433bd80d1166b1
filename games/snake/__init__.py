from .game import Snake

GAME = Snake()
