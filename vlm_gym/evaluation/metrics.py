"""Compute metrics from turns: what a policy reached, how, and with which confidence interval.

Everything is counted by episode (`tally`), and every number is a ratio of two such counts summed over
episodes (`NUMBERS`). So one resampling of episodes gives the interval of any number, of its mean over levels
and games, and of a difference between policies.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from typing import NamedTuple

import numpy as np

from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import KINDS, Verdict
from vlm_gym.evaluation.results import (
    CellNumbers,
    Difference,
    Interval,
    NumbersOf,
    PolicyNumbers,
    SummaryNumbers,
)
from vlm_gym.evaluation.stats import Draws, Estimate, mean, ratio
from vlm_gym.evaluation.suite import Cell, cell_of
from vlm_gym.recordings.record import Turn
from vlm_gym.strict import amounts

TAKEN = ("tokens", "tokens_in", "seconds", "dollars", "late", "cut")
"""What a reply may take, as `Turn.usage` names it.

``late`` is 1 where the time of the episode was up, ``cut`` is 1 for a reply that ended at the token limit.
"""

NUMBERS: Mapping[str, tuple[str, str]] = {
    "score": ("score", "episodes"),
    "success": ("success", "episodes"),
    "return": ("return", "episodes"),
    "turns": ("turns", "episodes"),
    "legal": ("legal", "turns"),
    "format": ("format", "turns"),
    "perception": ("cells", "turns"),
    "exact": ("exact", "turns"),
    "thought": ("true", "turns"),
    "reasoning": ("fine", "turns"),
    "reasoning_seen": ("fine_seen", "exact"),
    "characters": ("characters", "turns"),
    "tokens": ("tokens", "turns"),
    "tokens_in": ("tokens_in", "turns"),
    "seconds": ("seconds", "turns"),
    "dollars": ("dollars", "episodes"),
    "late": ("late", "turns"),
    "cut": ("cut", "turns"),
    "refused": ("refused", "episodes"),
    **{kind: (kind, "turns") for kind in KINDS},
}
"""Every number as a ratio of two counts:

- ``score`` in the game's unit, ``success``, ``return`` (sum of game rewards) and ``turns``, an episode
- ``legal`` replies, replies in full ``format``, a turn
- ``perception``: share of cells read rightly; ``exact``: share of turns with all of them
- ``thought``: share of a thought's sentences that are true
- ``reasoning``: share of turns with an action as good as the solver's; ``reasoning_seen``: of the exact ones
- the share of turns of each of `judge.KINDS`
- ``characters``, ``tokens`` and ``seconds`` of a reply; ``dollars`` an episode; ``late`` turns and ``cut``
  replies, a turn; ``refused``: share of episodes that ended because the endpoint refused to reply
"""

NORMALISED = "normalised"
"""One more number, of what `ranking_metric` names: 0 is the random player's, 100 the solver's."""
FLOOR = "random"
CEILING = "solver"
BASELINES = (FLOOR, "greedy", CEILING)
"""The rows that stand beside every model."""
COMPARED = ("score", "success", NORMALISED)

_WITH_A_UNIT = ("score", "return", "turns")
"""Numbers that have no mean over games."""
_NEEDS = {
    "perception": "told",
    "exact": "told",
    "reasoning_seen": "told",
    "thought": "thought",
    **{name: name for name in (*TAKEN, "refused")},
}
"""The count that must be above 0 for a number to be defined: not every policy writes a perception."""

Tally = Mapping[str, float]
"""Counts of one episode, by name."""
Tallies = Mapping[Episode, Tally]
"""The counts of a policy."""


def tally(turns: Sequence[Turn], verdicts: Iterable[Verdict]) -> Tally:
    """Count what happened in an episode."""
    judged = list(zip(turns, verdicts, strict=True))
    usages = [amounts(turn.usage) for turn in turns]  # files of other programs may hold any value
    used = dict[str, float]()
    for name in TAKEN:
        used[name] = float(sum(usage.get(name, 0.0) for usage in usages))
    kinds = Counter(verdict.kind for _, verdict in judged)
    return {
        "episodes": 1.0,
        "turns": float(len(turns)),
        "score": float(turns[-1].score),
        "success": float(turns[-1].success),
        "return": float(sum(turn.rewards["game"] for turn in turns)),
        "legal": float(sum(turn.action is not None for turn in turns)),
        "format": float(sum(turn.rewards["format"] for turn in turns)),
        "characters": float(sum(len(turn.reply) for turn in turns)),
        "told": float(sum(verdict.perception is not None for _, verdict in judged)),
        "cells": float(sum(verdict.perception or 0.0 for _, verdict in judged)),
        "exact": float(sum(verdict.exact for _, verdict in judged)),
        "thought": float(sum(verdict.thought is not None for _, verdict in judged)),
        "true": float(sum(verdict.thought or 0.0 for _, verdict in judged)),
        "fine_seen": float(sum(verdict.exact and verdict.good for _, verdict in judged)),
        **{kind: float(kinds[kind]) for kind in KINDS},
        **used,
        "refused": float(sum(bool(turn.refused) for turn in turns)),
    }


def tallies(turns: Iterable[Turn], verdicts: Iterable[Verdict]) -> dict[Episode, Tally]:
    """Count the episodes of a file, each of which stands in it once, from first to last turn.

    Raises `ValueError` for an episode that is there twice, or a turn that does not follow the one before.
    """
    tally_of: dict[Episode, Tally] = {}
    episode: list[tuple[Turn, Verdict]] = []
    for turn, verdict in zip(turns, verdicts, strict=True):
        first = episode[0][0] if episode else turn  # the first turn of the episode that is being read
        if turn.episode in tally_of or (turn.episode, turn.number) != (first.episode, len(episode)):
            raise ValueError(
                f"turn {turn.number} of {turn.episode} by {turn.policy} is there twice, or astray"
            )
        episode.append((turn, verdict))
        if turn.terminated or turn.truncated:
            tally_of[turn.episode] = tally(*zip(*episode, strict=True))
            episode = []
    return tally_of


@dataclass(frozen=True)
class Numbers:
    """The metrics of a policy on one cell of the table, one game, or all games."""

    episodes: int
    turns: int
    kinds: Mapping[str, int]
    """How many turns of each of `judge.KINDS`."""
    estimates: Mapping[str, Estimate]
    """By the names of `NUMBERS` and `NORMALISED`; a number that is not defined is left out."""


@dataclass(frozen=True)
class PolicyRow:
    """A policy's line of the table."""

    policy: str
    cells: Mapping[Cell, Numbers]
    games: Mapping[str, Numbers]
    """Means over the game's squares."""
    overall: Numbers
    """Means over games."""


class Comparison(NamedTuple):
    """The difference between two policies on the episodes that both have played."""

    one: str
    other: str
    place: str
    """A square, a game, or ``overall``."""
    number: str
    difference: Estimate
    episodes: int


@dataclass(frozen=True)
class Summary:
    """All numbers of an evaluation."""

    rows: Sequence[PolicyRow]
    comparisons: Sequence[Comparison]

    def plain(self) -> SummaryNumbers:
        """Return the numbers as plain data for JSON, rounded to six digits."""
        policies: list[PolicyNumbers] = []
        for row in self.rows:
            games = dict[str, NumbersOf]()
            for game, numbers in row.games.items():
                games[game] = _plain(numbers)
            cells: list[CellNumbers] = []
            for cell, numbers in row.cells.items():
                cells.append(
                    {
                        "game": cell.game,
                        "perception": cell.perception,
                        "reasoning": cell.reasoning,
                        **_plain(numbers),
                    }
                )
            overall = _plain(row.overall)
            policies.append({"policy": row.policy, "overall": overall, "games": games, "cells": cells})
        comparisons: list[Difference] = []
        for each in self.comparisons:
            comparisons.append(
                {
                    "one": each.one,
                    "other": each.other,
                    "place": each.place,
                    "number": each.number,
                    "difference": _digits(each.difference),
                    "episodes": each.episodes,
                }
            )
        return {"policies": policies, "comparisons": comparisons}


def summarise(played: Mapping[str, Tallies]) -> Summary:
    """Compute all numbers of policies by name.

    Normalised scores need `FLOOR` and `CEILING` among them, on the same episodes.
    """

    @lru_cache(maxsize=8)  # cached, since a policy is compared with all others on the same episodes
    def draws(policy: str, episodes: tuple[Episode, ...]) -> dict[Scope, dict[str, Draws]]:
        return _draws(policy, played, episodes)

    rows = list[PolicyRow]()
    for policy in played:
        rows.append(_row(policy, played, draws))
    names = list(played)
    comparisons = list[Comparison]()
    for index, one in enumerate(names):
        for other in names[:index]:
            comparisons += _compare(one, other, played, draws)
    return Summary(rows, comparisons)


Scope = Cell | str
"""A square of the table, a game, or `_ALL`."""
_ALL = "overall"


Drawing = Callable[[str, tuple[Episode, ...]], dict[Scope, dict[str, Draws]]]
"""Computes the numbers of a policy on some of its episodes."""


def _row(policy: str, played: Mapping[str, Tallies], drawn: Drawing) -> PolicyRow:
    draws = drawn(policy, tuple(played[policy]))
    numbers = dict[Scope, Numbers]()
    for scope, draws_of in draws.items():
        counted = list[Tally]()
        for episode, counts_of in played[policy].items():
            if scope in _scopes(episode):
                counted.append(counts_of)
        estimates = dict[str, Estimate]()
        for name, draw in draws_of.items():
            estimate = draw.estimate()
            if estimate:
                estimates[name] = estimate
        counts = dict[str, int]()
        for kind in KINDS:
            counts[kind] = int(sum(tally[kind] for tally in counted))
        numbers[scope] = Numbers(
            episodes=len(counted),
            turns=int(sum(tally["turns"] for tally in counted)),
            kinds=counts,
            estimates=estimates,
        )
    overall = numbers.pop(_ALL)
    cells = dict[Cell, Numbers]()
    games = dict[str, Numbers]()
    for scope, numbers_of in numbers.items():
        if isinstance(scope, Cell):
            cells[scope] = numbers_of
        else:
            games[scope] = numbers_of
    return PolicyRow(policy, cells, games, overall)


def _compare(one: str, other: str, played: Mapping[str, Tallies], drawn: Drawing) -> Iterator[Comparison]:
    shared = tuple(episode for episode in played[one] if episode in played[other])
    if not shared:
        return
    mine = drawn(one, shared)
    theirs = drawn(other, shared)
    for scope, draws in mine.items():
        episodes = sum(scope in _scopes(episode) for episode in shared)
        for name in COMPARED:
            if name in draws and name in theirs[scope]:
                difference = (draws[name] - theirs[scope][name]).estimate()
                if difference:
                    yield Comparison(one, other, str(scope), name, difference, episodes)


def _draws(
    policy: str, played: Mapping[str, Tallies], episodes: Sequence[Episode]
) -> dict[Scope, dict[str, Draws]]:
    """Compute the numbers of a policy on some of its episodes: of squares, games, and all."""
    by_cell: dict[Cell, list[Episode]] = {}
    # By index, so that a deal has the same weight in the resamples of all levels and policies.
    for episode in sorted(episodes, key=lambda episode: episode.index):
        by_cell.setdefault(cell_of(episode), []).append(episode)
    counted = set[str]()
    for count in _NEEDS.values():
        if any(played[policy][episode][count] for episode in episodes):
            counted.add(count)
    cells = dict[Cell, dict[str, Draws]]()
    by_game: dict[str, list[dict[str, Draws]]] = {}
    for cell, episodes_of in sorted(by_cell.items()):
        cells[cell] = _numbers(policy, played, episodes_of, counted)
        by_game.setdefault(cell.game, []).append(cells[cell])
    games = dict[str, dict[str, Draws]]()
    for game, draws in by_game.items():
        games[game] = _means(draws)
    overall = _means(list(games.values()))
    if len(games) > 1:  # units differ from game to game
        for name in _WITH_A_UNIT:
            overall.pop(name, None)
    return dict[Scope, dict[str, Draws]]([*cells.items(), *games.items(), (_ALL, overall)])


def _numbers(
    policy: str, played: Mapping[str, Tallies], episodes: Sequence[Episode], counted: set[str]
) -> dict[str, Draws]:
    """Compute the numbers of one square."""
    cell = cell_of(episodes[0])

    def number(name: str, policy: str) -> Draws:
        top, bottom = NUMBERS[name]
        tops = list[float]()
        bottoms = list[float]()
        for episode in episodes:
            counts = played[policy][episode]
            tops.append(counts[top])
            bottoms.append(counts[bottom])
        # Perception levels deal the same games, and are resampled alike.
        return ratio(tops, bottoms, f"{cell.game} {cell.reasoning}")

    draws = dict[str, Draws]()
    for name in NUMBERS:
        if name not in _NEEDS or _NEEDS[name] in counted:
            draws[name] = number(name, policy)
    by_floor = played.get(FLOOR, {})
    by_ceiling = played.get(CEILING, {})
    if all(episode in by_floor and episode in by_ceiling for episode in episodes):
        name = ranking_metric(cell)
        low = number(name, FLOOR).values
        high = number(name, CEILING).values
        # (1 + RESAMPLES,) each, of the same resamples. Where random reaches the solver, there is no scale.
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(high > low, 100 * (draws[name].values - low) / (high - low), np.nan)
        draws[NORMALISED] = Draws(values, draws[name].strata)
    return draws


def ranking_metric(cell: Cell) -> str:
    """Return the number that ranks policies in a square: the return, or the score under other rewards."""
    knobs, _ = cell.difficulty
    return "return" if knobs.reward == "goal" else "score"


def _means(groups: Sequence[Mapping[str, Draws]]) -> dict[str, Draws]:
    """Average numbers over squares or games of equal weight, as far as they are defined."""
    defined = dict[str, list[Draws]]()
    for group in groups:
        for name, draws in group.items():
            defined.setdefault(name, []).append(draws)
    means = dict[str, Draws]()
    for name, draws_of_groups in defined.items():
        means[name] = mean(draws_of_groups)
    return means


def _scopes(episode: Episode) -> tuple[Scope, ...]:
    """Return the scopes that an episode counts in."""
    return (cell_of(episode), episode.game, _ALL)


def _plain(numbers: Numbers) -> NumbersOf:
    estimates = dict[str, Interval]()
    for name, estimate in numbers.estimates.items():
        estimates[name] = _digits(estimate)
    return {
        "episodes": numbers.episodes,
        "turns": numbers.turns,
        "kinds": dict(numbers.kinds),
        "numbers": estimates,
    }


def _digits(estimate: Estimate) -> list[float | None]:
    """Round to six digits, and replace NaN by None, since JSON has no NaN."""
    return [None if isnan(value) else float(f"{value:.6g}") for value in estimate]
