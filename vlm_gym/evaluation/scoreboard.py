"""The numbers of an evaluation on the terminal, from ``results.json``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vlm_gym.evaluation.judge import KINDS
from vlm_gym.evaluation.metrics import BASELINES, NORMALISED
from vlm_gym.registry import find

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Numbers = Mapping[str, Sequence[float | None]]
"""Mean, low and high end by name."""


def tables(results: Mapping[str, Any]) -> Iterator["RenderableType"]:
    """Show how far policies get, what goes wrong, every square of the suite, and who is ahead of whom."""
    policies = results["policies"]
    yield _overall(results["suite"]["name"], policies)
    yield _failures(policies)
    yield _squares(policies)
    if ahead := _ahead(results["comparisons"]):
        yield ahead
    yield from results["notes"]
    for policy, missing in results["missing"].items():
        yield f"[red]incomplete[/red]: {policy} lacks {missing['episodes']} episodes: {missing['why']}"


def _overall(suite: str, policies: Sequence[Any]) -> "Table":
    title = f"Suite {suite}: 0 is the random player, 100 the solver; with 95 % intervals over episodes"
    games = list(dict.fromkeys(game for policy in policies for game in policy["games"]))
    table = _table(title, "policy", "episodes", "normalised", "goal reached", *games)
    for policy in policies:
        numbers = policy["overall"]["numbers"]
        table.add_row(
            policy["policy"],
            f"{policy['overall']['episodes']}",
            _sure(numbers, NORMALISED),
            _sure(numbers, "success", 100),
            *(_plain(policy["games"].get(game, {}).get("numbers", {}), NORMALISED) for game in games),
        )
    return table


def _failures(policies: Sequence[Any]) -> "Table":
    """Rates in percent."""
    rates = {
        "legal": "legal",
        "full format": "format",
        "cells read": "perception",
        "boards read": "exact",
        "good moves": "reasoning",
        "… if read": "reasoning_seen",
    }
    table = _table("Turns, in percent: what is right, and what went wrong", "policy", *rates, *KINDS[1:])
    for policy in policies:
        found, turns = policy["overall"], policy["overall"]["turns"] or 1
        table.add_row(
            policy["policy"],
            *(_plain(found["numbers"], name, 100) for name in rates.values()),
            *(f"{100 * found['kinds'][kind] / turns:.0f}" for kind in KINDS[1:]),
        )
    return table


def _squares(policies: Sequence[Any]) -> "Table":
    table = _table(
        "Scores; in brackets episodes that reach the goal, in percent",
        "game",
        "perception",
        "reasoning",
        *(policy["policy"] for policy in policies),
    )
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for policy in policies:
        for cell in policy["cells"]:
            key = (cell["game"], cell["perception"], cell["reasoning"])
            found.setdefault(key, {})[policy["policy"]] = cell["numbers"]
    for (game, *levels), by_policy in sorted(found.items()):
        table.add_row(
            f"{game} ({find(game).unit})",
            *levels,
            *(
                f"{_plain(numbers, 'score')} ({_plain(numbers, 'success', 100)})"
                if (numbers := by_policy.get(policy["policy"]))
                else "-"
                for policy in policies
            ),
        )
    return table


def _ahead(comparisons: Sequence[Any]) -> "Table | None":
    """Differences that are not between two baselines."""
    table = _table("Ahead on the same episodes, overall", "policy", "of", "normalised", "goal reached", "episodes")
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for each in comparisons:
        if each["place"] == "overall" and not {each["one"], each["other"]} <= set(BASELINES):
            pairs.setdefault((each["one"], each["other"]), {"episodes": each["episodes"]})[each["number"]] = each["difference"]
    for (one, other), numbers in pairs.items():
        table.add_row(one, other, _sure(numbers, NORMALISED), _sure(numbers, "success", 100), str(numbers["episodes"]))
    return table if pairs else None


def _table(title: str, *headings: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="left" if at == 0 else "right")
    return table


def _sure(numbers: Numbers, name: str, unit: float = 1.0) -> str:
    """Write a number with its interval."""
    mean, low, high = numbers.get(name, (None, None, None))
    if mean is None:
        return "-"
    if low is None or high is None:
        return _short(mean * unit)
    return f"{_short(mean * unit)} [{_short(low * unit)}, {_short(high * unit)}]"


def _plain(numbers: Numbers, name: str, unit: float = 1.0) -> str:
    mean = numbers.get(name, (None,))[0]
    return "-" if mean is None else _short(mean * unit)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 99.5 or value == int(value) else f"{value:.1f}"
