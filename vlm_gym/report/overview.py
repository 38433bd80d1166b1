"""The first part of a report: scores, rates, failures and learning curves of the policies."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from math import isnan
from typing import NamedTuple
from urllib.parse import urlencode

from vlm_gym.evaluation.judge import KINDS
from vlm_gym.evaluation.metrics import CEILING, FLOOR, NORMALISED, Numbers, PolicyRow, Summary, ranking_metric
from vlm_gym.evaluation.stats import Estimate
from vlm_gym.evaluation.suite import Cell
from vlm_gym.registry import find
from vlm_gym.report.charts import Curve, plot, short, whisker
from vlm_gym.rollouts.baselines import PLAYERS

Curves = Mapping[str, Mapping[str, Curve]]
"""By run, then by the name of the number."""

FIRST = 20
"""Plots that are shown at first: enough for the informative ones of three games. The rest is folded."""
TELLING = (
    r"(.*: )?reward",
    r"(.*: )?loss",
    *(
        rf"(.*: )?[^/]*/({names})"
        for names in ("reward", "exact|true|reasoning", "legal", "zero_advantage|dead")
    ),
    r"(.*: )?entropy",
    r".*/(cells|perception)",
)
"""What names of numbers match whose plots come first, in this order."""
THREE_CURVES = (
    "<code>exact</code> is perception accuracy, the share of replies that tell every cell rightly; "
    "<code>true</code> is thought accuracy, the share of a thought's sentences that are true; "
    "<code>reasoning</code> is reasoning accuracy given true perception, the share of good moves among those."
)


class Column(NamedTuple):
    """A number for all policies, by its name in `metrics.NUMBERS`."""

    number: str
    heading: str
    write: Callable[[float], str] = short
    span: tuple[float, ...] = ()
    """What the line under the number stands for at least."""


def _percent(value: float) -> str:
    rounds_to_all_or_nothing = 0 < value < 0.005 or 0.995 <= value < 1
    return f"{100 * value:.{int(rounds_to_all_or_nothing)}f} %"


def _share(number: str, heading: str) -> Column:
    return Column(number, heading, _percent, (0.0, 1.0))


RATE_COLUMNS = (
    _share("success", "goal reached"),
    _share("legal", "legal replies"),
    _share("format", "full format"),
    _share("perception", "cells read rightly"),
    _share("exact", "boards read exactly"),
    _share("thought", "true sentences"),
    _share("reasoning", "good moves"),
    _share("reasoning_seen", "good moves if read exactly"),
    _share("cut", "replies cut at the token limit"),
    _share("refused", "episodes refused by the endpoint"),
    Column("tokens", "tokens a reply"),
    Column("seconds", "seconds a reply"),
    Column("dollars", "dollars an episode"),
)


def overview(summary: Summary, curves: Curves, about: Mapping[str, str]) -> str:
    """Write the sections that there is something to say in, as HTML, after what runs say that they are."""
    rows = sorted(summary.rows, key=_rank)
    parts = [
        *_about(about),
        *_scores(rows),
        *_goals(rows),
        *_rates(rows),
        *_failures(rows),
        *_learning(curves),
        *_pairs(summary),
        *_levels(rows),
    ]
    return "\n".join(parts)


def _about(about: Mapping[str, str]) -> Iterator[str]:
    for run, description in about.items():
        name = f"<b>{escape(run)}</b> " if len(about) > 1 else ""
        yield f'<p class="about">{name}{escape(description)}</p>'


def _rank(row: PolicyRow) -> tuple[float, str]:
    normalised = row.overall.estimates.get(NORMALISED)
    return -normalised.mean if normalised else 0.0, row.policy


def _scores(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Render the score of every policy at every game, and the score normalised between random and solver."""
    if not rows:
        return
    squares = _squares(rows)
    head = list[str]()
    columns = list[list[str]]()
    if any(NORMALISED in row.overall.estimates for row in rows):
        normalised = Column(NORMALISED, "of the way", lambda value: f"{value:.0f}")
        head.append(_head(normalised.heading, "from random to solver"))
        columns.append(_draw([row.overall for row in rows], normalised, (0.0, 100.0)))
    for game in _games(rows):
        column = _measure([cell for cell in squares if cell.game == game])
        head.append(_head(find(game).title, column.heading))
        columns.append(_beside_ends(rows, game, column))
    note = (
        f"{len(rows)} policies, {sum(row.overall.episodes for row in rows):,} episodes, "
        f"{sum(row.overall.turns for row in rows):,} turns. "
        "Mean returns with 95 % intervals: 1 for the goal, the progress to it, less a cost a turn. "
        "Thin marks: the random player and the solver. "
        "“Of the way” is 0 for random and 100 for the solver, the mean over games."
    )
    yield _section("How well it plays", note, _table(head, _lines(rows, columns)))


def _goals(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Render how often every policy reaches the goal of every game."""
    if not rows:
        return
    games = _games(rows)
    column = RATE_COLUMNS[0]
    columns = list[list[str]]()
    head = list[str]()
    for game in games:
        columns.append(_beside_ends(rows, game, column))
        head.append(_head(find(game).title, column.heading))
    note = "Share of episodes with 95 % intervals. Thin marks: the random player and the solver."
    yield _section("How often it reaches the goal", note, _table(head, _lines(rows, columns)))


def _beside_ends(rows: Sequence[PolicyRow], game: str, column: Column) -> list[str]:
    """Draw a number of all policies at a game, with marks where the random player and the solver are."""
    marks = list[float]()
    for row in rows:
        if row.policy in (FLOOR, CEILING) and game in row.games:
            marks.append(row.games[game].estimates[column.number].mean)
    return _draw([row.games.get(game) for row in rows], column, marks)


def _measure(squares: Collection[Cell]) -> Column:
    """Return the column that ranks policies in squares of one game, as `metrics.ranking_metric` does."""
    if set(map(ranking_metric, squares)) == {"return"}:
        return Column("return", "return")
    (game,) = {find(square.game) for square in squares}
    return Column("score", game.unit)


def _rates(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Render the rates of every policy's replies, as means over all games."""
    totals = [row.overall for row in rows]
    measured = set(chain.from_iterable(numbers.estimates for numbers in totals))
    columns = list[list[str]]()
    head = list[str]()
    for column in RATE_COLUMNS:
        if column.number in measured:
            columns.append(_draw(totals, column))
            head.append(_head(column.heading))
    if not columns:
        return
    note = (
        "Means over games. A move is good if its value is within 0.05 of the solver's. "
        "Baselines write no perception, so they have no perception accuracy."
    )
    yield _section("What it gets right", note, _table(head, _lines(rows, columns)))


def _failures(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Show the share of each kind of turn; every share leads to its turns."""
    if not rows:
        return
    games = _games(rows)
    legend = ""
    for verdict in KINDS:
        legend += f'<span class="{verdict}"><i></i>{verdict}</span>'
    body = []
    for row in rows:
        cells = [_stack(row.policy, "", row.overall)]
        for game in games:
            cells.append(_stack(row.policy, game, row.games.get(game)))
        body.append(_line(row, cells))
    head = [_head("all")]
    for game in games:
        head.append(_head(find(game).title))
    note = "Shares of turns. Click on one to see its turns."
    yield _section("What went wrong", note, f'<p class="legend">{legend}</p>{_table(head, body)}')


def _stack(policy: str, game: str, numbers: Numbers | None) -> str:
    if numbers is None or not numbers.turns:
        return "<td></td>"
    parts = []
    for verdict, count in numbers.kinds.items():
        if not count:
            continue
        conditions = {"game": game} if game else {}
        query = urlencode({**conditions, "who": policy, "kind": verdict})
        title = f"{count:,} of {numbers.turns:,} turns {verdict}"
        parts.append(
            f'<a class="{verdict}" style="flex:{count}" href="#?{escape(query)}" title="{title}"></a>'
        )
    return f'<td><div class="stack">{"".join(parts)}</div></td>'


def _learning(curves: Curves) -> Iterator[str]:
    """Plot every number that was written down while training, runs side by side."""
    runs = [run for run in curves if curves[run]]
    names = sorted(dict.fromkeys(chain.from_iterable(curves[run] for run in runs)), key=_plot_rank)
    if not names:
        return
    plots = []
    for name in names:
        of_runs = dict[int, Curve]()
        for number, run in enumerate(runs):
            if name in curves[run]:
                of_runs[number] = curves[run][name]
        plots.append(plot(name, of_runs))
    legend = ""
    for number, run in enumerate(runs):
        legend += f'<span class="c{number % 6}"><i></i>{escape(run)}</span>'
    more = ""
    if plots[FIRST:]:
        more = f"<details><summary>{len(plots) - FIRST} more</summary>{_plots(plots[FIRST:])}</details>"
    has_exact = any(name.endswith("/exact") for name in names)
    note = f"By step. {THREE_CURVES if has_exact else ''}"
    yield _section("How it learned", note, f'<p class="legend">{legend}</p>{_plots(plots[:FIRST])}{more}')


def _plot_rank(name: str) -> int:
    """Return the rank of a number's plot: the most informative plots come first."""
    for rank, pattern in enumerate(TELLING):
        if re.fullmatch(pattern, name):
            return rank
    return len(TELLING)


def _plots(plots: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(plots)}</div>'


def _pairs(summary: Summary) -> Iterator[str]:
    """Compare policies on the episodes that both played, except two baselines with each other."""
    body = ""
    for each in summary.comparisons:
        baselines = _learns_nothing(each.one) and _learns_nothing(each.other)
        if each.place != "overall" or baselines:
            continue
        body += (
            f"<tr><th>{_name(each.one)}</th><th>{_name(each.other)}</th><td>{escape(each.number)}</td>"
            f"<td>{_interval(each.difference, _writer(each.number), signed=True)}</td>"
            f"<td>{each.episodes:,}</td></tr>"
        )
    if not body:
        return
    table = (
        "<table><thead><tr><th>one</th><th>other</th><td></td><td>one − other</td><td>episodes</td></tr>"
        f"</thead><tbody>{body}</tbody></table>"
    )
    note = "Differences on the same episodes. An interval without 0 is hardly chance."
    yield _section("Side by side", note, f'<div class="wide">{table}</div>', folded=True)


def _levels(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Render the score at every level of every game."""
    squares = _squares(rows)
    if len(squares) < 2:
        return
    body = []
    for square in squares:
        column = _measure({square})
        cells = _draw([row.cells.get(square) for row in rows], column)
        level = f"<small>p{escape(square.perception)} r{escape(square.reasoning)}, {column.heading}</small>"
        body.append(f"<tr><th>{escape(find(square.game).title)} {level}</th>{''.join(cells)}</tr>")
    note = "The same at each level of perception (p) and reasoning (r)."
    head = [f"<td>{_name(row.policy)}</td>" for row in rows]
    yield _section("Level by level", note, _table(head, body), folded=True)


def _games(rows: Sequence[PolicyRow]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(row.games for row in rows)))


def _squares(rows: Sequence[PolicyRow]) -> list[Cell]:
    """List the squares that any policy has played, in order."""
    return sorted(set(chain.from_iterable(row.cells for row in rows)))


def _draw(policies: Sequence[Numbers | None], column: Column, marks: Sequence[float] = ()) -> list[str]:
    """Write an estimate for each policy, and draw them all on lines that stand for the same span."""
    estimates = list[Estimate | None]()
    drawn = [*column.span, *marks]
    for numbers in policies:
        estimate = numbers.estimates.get(column.number) if numbers else None
        estimates.append(estimate)
        for value in estimate or ():
            if not isnan(value):
                drawn.append(value)
    span = (min(drawn), max(drawn))
    cells = list[str]()
    for numbers, estimate in zip(policies, estimates, strict=True):
        if not numbers or not estimate:
            cells.append('<td class="none">–</td>')
            continue
        cells.append(
            f'<td title="{numbers.episodes:,} episodes, {numbers.turns:,} turns">'
            f"{_interval(estimate, column.write)}{whisker(estimate, span, marks)}</td>"
        )
    return cells


def _interval(estimate: Estimate, write: Callable[[float], str], signed: bool = False) -> str:
    plus = "+" if signed and estimate.mean > 0 else ""
    mean, low, high = (write(value).replace("-", "−") for value in estimate)
    if isnan(estimate.low) or low == high:
        return f"<b>{plus}{mean}</b>"
    if low.endswith(" %"):
        low = low.removesuffix(" %")
    return f"<b>{plus}{mean}</b> <small>{low} – {high}</small>"


def _writer(number: str) -> Callable[[float], str]:
    return _percent if number == "success" else short


def _lines(rows: Sequence[PolicyRow], columns: Sequence[Sequence[str]]) -> list[str]:
    lines = list[str]()
    for row, cells in zip(rows, zip(*columns, strict=True), strict=True):
        lines.append(_line(row, cells))
    return lines


def _line(row: PolicyRow, cells: Sequence[str]) -> str:
    css_class = ' class="baseline"' if _learns_nothing(row.policy) else ""
    return f"<tr{css_class}><th>{_name(row.policy)}</th>{''.join(cells)}</tr>"


def _learns_nothing(policy: str) -> bool:
    """Return whether a row is that of a baseline. The place where it was played may follow its name."""
    return policy.partition(" (")[0] in PLAYERS


def _name(policy: str) -> str:
    """Return the escaped name of a policy, with possible line breaks at ``/`` and ``:``."""
    return re.sub(r"([/:])", r"\1<wbr>", escape(policy))


def _head(heading: str, below: str = "") -> str:
    small = f"<small>{escape(below)}</small>" if below else ""
    return f"<td>{escape(heading)}{small}</td>"


def _table(head: Sequence[str], body: Sequence[str]) -> str:
    return (
        f'<div class="wide"><table><thead><tr><th></th>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _section(title: str, note: str, content: str, folded: bool = False) -> str:
    heading = f"<h2>{title}</h2>"
    content = f'<p class="note">{note}</p>{content}'
    if folded:
        return f"<section><details><summary>{heading}</summary>{content}</details></section>"
    return f"<section>{heading}{content}</section>"
