"""The numbers of an evaluation as JSON holds them, in ``results.json`` and in leaderboard files."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

Interval = Sequence[float | None]
"""An estimate and the two ends of its interval; None for NaN, which JSON has not."""


class NumbersOf(TypedDict):
    """The numbers of some episodes of one policy."""

    episodes: int
    turns: int
    kinds: Mapping[str, int]
    """Turns by the kind of their verdict."""
    numbers: Mapping[str, Interval]


class CellNumbers(NumbersOf):
    """The numbers of one square of a suite."""

    game: str
    perception: str
    reasoning: str


class PolicyNumbers(TypedDict):
    """The numbers of one policy."""

    policy: str
    overall: NumbersOf
    games: Mapping[str, NumbersOf]
    cells: Sequence[CellNumbers]


class Difference(TypedDict):
    """One number of two policies, compared on the same episodes."""

    one: str
    other: str
    place: str
    number: str
    difference: Interval
    episodes: int


class SummaryNumbers(TypedDict):
    """All numbers of a `metrics.Summary`."""

    policies: Sequence[PolicyNumbers]
    comparisons: Sequence[Difference]


class SuiteTitle(TypedDict):
    """Which suite was played."""

    name: str
    about: str
    digest: str


class Missing(TypedDict):
    """Episodes of a policy that are not finished, or that the endpoint refused, and the reason."""

    episodes: int
    refused: int
    why: str


class Results(SummaryNumbers):
    """The content of ``results.json``."""

    version: int
    complete: bool
    missing: Mapping[str, Missing]
    notes: Sequence[str]
    suite: SuiteTitle
    intervals: Mapping[str, float]
