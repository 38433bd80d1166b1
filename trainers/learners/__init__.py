"""Engines behind the seam of `learner`: TRL, and what it takes to train with it."""
