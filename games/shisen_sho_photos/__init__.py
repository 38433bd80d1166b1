from .game import ShisenShoPhotos

GAME = ShisenShoPhotos()
