"""Pages that show what happened: a viewer of turns, and reports over runs."""

from vlm_gym.report.build import MOST_TURNS, replay, report

__all__ = ["MOST_TURNS", "replay", "report"]
