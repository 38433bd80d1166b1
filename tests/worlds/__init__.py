"""Test games, each in one file, that ask for all that the core offers: they touch nothing else."""
