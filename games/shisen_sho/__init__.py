"""Shisen-Sho: take away pairs of equal tiles that a path joins."""

from .game import ShisenSho

GAME = ShisenSho()
