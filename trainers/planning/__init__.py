"""Estimates of what a run takes, and checks that it can run, before it starts."""
