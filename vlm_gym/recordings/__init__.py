"""Turns and states as JSON: what a recording holds, and how it is written and read."""
