"""Models that see: those of the hub, tiny ones, and how they are loaded, asked and made ready to learn."""
