"""Human play: a person meets the same pictures, seeds, limits and records as a model."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # before the modules in here load pygame
