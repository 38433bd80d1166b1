"""Evaluation of policies: suites, judged turns, and metrics with confidence intervals."""
