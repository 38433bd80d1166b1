"""The numbers of an evaluation on the terminal, from ``results.json``: a column for each policy."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vlm_gym.evaluation.judge import KINDS
from vlm_gym.evaluation.metrics import BASELINES, NORMALISED
from vlm_gym.evaluation.results import Difference, Interval, NumbersOf, PolicyNumbers, Results
from vlm_gym.registry import find

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

RATE_ROWS = {
    "goal reached": "success",
    "legal replies": "legal",
    "full format": "format",
    "cells read": "perception",
    "boards read": "exact",
    "true sentences": "thought",
    "good moves": "reasoning",
    "good if read": "reasoning_seen",
    "late": "late",
    "replies cut": "cut",
    "episodes refused": "refused",
}
"""Numbers that are shown in percent."""
COST_ROWS = {
    "characters/reply": "characters",
    "tokens/reply": "tokens",
    "seconds/reply": "seconds",
    "dollars/episode": "dollars",
}


def score_tables(results: Results) -> Iterator["RenderableType"]:
    """Show scores and rates of all policies, every square of the suite, and differences between policies."""
    yield _overall(results["suite"]["name"], results["policies"])
    yield _squares(results["policies"])
    if ahead := _ahead(results["comparisons"]):
        yield ahead
    yield from results["notes"]
    for policy, missing in results["missing"].items():
        if missing["episodes"]:
            yield f"{policy} lacks {missing['episodes']} episodes: {missing['why']}"


def _overall(suite: str, policies: Sequence[PolicyNumbers]) -> "Table":
    table = _table(f"Suite {suite}: means over games, with 95 % intervals over episodes", policies)
    everything = [policy["overall"]["numbers"] for policy in policies]
    _line(table, "random 0, solver 100", everything, NORMALISED)
    games = dict[str, None]()  # each once, in order
    for policy in policies:
        games |= dict.fromkeys(policy["games"])
    for game in games:
        numbers = list[Mapping[str, Interval]]()
        for policy in policies:
            numbers.append(_numbers(policy["games"].get(game)))
        _line(table, f"  {game}", numbers, NORMALISED)
    for label, name in RATE_ROWS.items():
        _line(table, f"{label}, %", everything, name, 100)
    for label, name in COST_ROWS.items():
        if any(name in numbers for numbers in everything):
            table.add_row(label, *(_mean(numbers, name) for numbers in everything))
    table.add_section()
    for verdict in KINDS[1:]:
        _line(table, f"{verdict}, %", everything, verdict, 100)
    return table


def _squares(policies: Sequence[PolicyNumbers]) -> "Table":
    table = _table("Scores, and in brackets the % of episodes that reach the goal", policies)
    intervals: dict[tuple[str, str, str], dict[str, Mapping[str, Interval]]] = {}
    for policy in policies:
        for cell in policy["cells"]:
            square = (cell["game"], cell["perception"], cell["reasoning"])
            intervals.setdefault(square, {})[policy["policy"]] = cell["numbers"]
    for (game, perception, reasoning), by_policy in sorted(intervals.items()):
        texts = [f"{game} p{perception} r{reasoning}, {find(game).unit}"]
        for policy in policies:
            numbers = by_policy.get(policy["policy"])
            if numbers:
                texts.append(f"{_mean(numbers, 'score')} ({_mean(numbers, 'success', 100)})")
            else:
                texts.append("-")
        table.add_row(*texts)
    return table


def _ahead(comparisons: Sequence[Difference]) -> "Table | None":
    """Show differences, but for those between two baselines."""
    from rich.table import Table

    pairs: dict[tuple[str, str], dict[str, Interval]] = {}
    episodes: dict[tuple[str, str], int] = {}
    for each in comparisons:
        if each["place"] == "overall" and not {each["one"], each["other"]} <= set(BASELINES):
            pair = (each["one"], each["other"])
            pairs.setdefault(pair, {})[each["number"]] = each["difference"]
            episodes.setdefault(pair, each["episodes"])
    table = Table(title="Ahead on the same episodes", title_justify="left", title_style="bold")
    for heading in ("policy", "of", "random 0, solver 100", "goal reached, %", "episodes"):
        table.add_column(heading, justify="left" if heading in ("policy", "of") else "right")
    for (one, other), numbers in pairs.items():
        shown = _sure(numbers, NORMALISED), _sure(numbers, "success", 100), str(episodes[one, other])
        table.add_row(one, other, *shown)
    return table if pairs else None


def _table(title: str, policies: Sequence[PolicyNumbers]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for policy in policies:
        table.add_column(policy["policy"], justify="right", overflow="fold")
    return table


def _line(
    table: "Table", label: str, policies: Sequence[Mapping[str, Interval]], name: str, unit: float = 1.0
) -> None:
    """Add a number, if any policy has it."""
    if any(name in numbers for numbers in policies):
        table.add_row(label, *(_sure(numbers, name, unit) for numbers in policies))


def _sure(numbers: Mapping[str, Interval], name: str, unit: float = 1.0) -> str:
    """Write a number with its interval."""
    mean, low, high = numbers.get(name, (None, None, None))
    if mean is None or low is None or high is None or low == high:
        return _mean(numbers, name, unit)
    return f"{_short(mean * unit)} [{_short(low * unit)}, {_short(high * unit)}]"


def _mean(numbers: Mapping[str, Interval], name: str, unit: float = 1.0) -> str:
    if name not in numbers:
        return "-"
    mean = numbers[name][0]
    return "-" if mean is None else _short(mean * unit)


def _numbers(scope: NumbersOf | None) -> Mapping[str, Interval]:
    """Return the numbers of a square or game; none where a policy has not played it."""
    return {} if scope is None else scope["numbers"]


def _short(value: float) -> str:
    """Write two or three digits."""
    if abs(value) < 1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 99.95 or value == int(value) else f"{value:.1f}"
