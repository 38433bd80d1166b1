"""Shisen-Sho with pictures: tiles are equal that show the same thing."""

from .game import ShisenShoPhotos

GAME = ShisenShoPhotos()
