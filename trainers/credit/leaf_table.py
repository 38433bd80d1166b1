"""Compare values for the states in which plays are truncated, by the cosine of advantages with the truth.

As in `cosines`, but all groups of a game are one step, of plays that break off after a few turns.
``python -m vlm_gym.trainers.credit.leaf_table`` prints the table of docs/training.md.
"""

from collections.abc import Sequence

import numpy as np

from vlm_gym.episode import deal
from vlm_gym.game import Game, State
from vlm_gym.registry import find

from .cosines import GAMMA, GROUPS, PLAYS, cosine, group
from .estimators import by_lookahead, by_return
from .graph import graph
from .leaves import leaves
from .turns import CreditTurn

GAMES = (("swap", "0"), ("shisen_sho", "0"), ("2048", "0"), ("sokoban", "0"))
LENGTHS = (4, 8)
"""Turns of a play."""
STEPS = 2
"""Turns that ``ahead`` looks ahead."""
RIDGE = 10.0
"""The ridge, an L2 penalty on the weights of the critic."""
LEAVES = ("nothing", "other visits", "critic", "truth")


def critic(game: Game, turns: Sequence[CreditTurn]) -> list[float]:
    """Value the states after turns by a linear critic on the board, fitted to the step: one-hot cells.

    Source: least-squares temporal differences (Bradtke and Barto, 1996), with a ridge.
    """
    column_of: dict[tuple[int, str], int] = {}
    rows: list[list[int]] = []
    states = [turn.state for turn in turns]
    states += [turn.after for turn in turns]
    for state in states:
        assert isinstance(state, State)
        cells = game.scene(state).cells
        rows.append(
            [column_of.setdefault((index, str(cell)), len(column_of)) for index, cell in enumerate(cells)]
        )
    features = np.ones((len(rows), len(column_of) + 1))  # the last feature is constant
    features[:, :-1] = 0.0
    for index, row in enumerate(rows):
        features[index, row] = 1.0
    before = features[: len(turns)]  # (turns, features), as is `after`
    after = features[len(turns) :].copy()
    after[[turn.over for turn in turns]] = 0.0  # the value after the end of a game is 0
    rewards = np.array([turn.reward for turn in turns])
    # The weights w solve before' (before - gamma after) w + ridge w = before' rewards.
    matrix = before.T @ (before - GAMMA * after) + RIDGE * np.eye(before.shape[1])
    estimates: list[float] = (after @ np.linalg.solve(matrix, before.T @ rewards)).tolist()
    return estimates


def cosines(name: str, level: str, length: int, groups: int, first: int = 0) -> dict[str, dict[str, float]]:
    """Compute the cosine of estimators to the truth, by leaf, over one step of so many groups.

    `first` is the number of the first deal.
    """
    game = find(name)
    knobs = game.settle(level)
    turns: list[CreditTurn] = []
    truth: list[float] = []
    known: dict[State, float] = {}
    for number in range(groups):
        start = game.start(deal(game, knobs, "train", first + number), knobs)
        played = group(game, start, number, known, length=length)
        for turn in played.turns:
            turns.append(turn._replace(play=turn.play + number * PLAYS))
        truth += played.truth
    tasks = [0] * len(turns)
    lasts = {
        "nothing": [0.0] * len(turns),
        "other visits": leaves(turns, tasks, GAMMA),
        "critic": critic(game, turns),
        "truth": [0.0 if turn.over else known[turn.after] for turn in turns],  # type: ignore[index]
    }
    by_leaf: dict[str, dict[str, float]] = {}
    for title in LEAVES:
        last = lasts[title]
        by_leaf[title] = {
            "return": cosine(by_return(turns, GAMMA, last), truth),
            "graph": cosine(graph(turns, tasks, GAMMA, last), truth),
            "ahead": cosine(by_lookahead(turns, GAMMA, STEPS, last), truth),
        }
    return by_leaf


def main() -> None:
    """Print the table in Markdown: means over three steps."""
    columns = list[str]()
    for length in LENGTHS:
        columns += [f"{name}, {length} turns" for name, _ in GAMES]
    print("| leaf | estimator | " + " | ".join(columns) + " |")  # noqa: T201
    print("| --- | --- |" + " ---: |" * len(columns))  # noqa: T201
    steps = range(0, 3 * GROUPS, GROUPS)
    squares = []
    for length in LENGTHS:
        for name, level in GAMES:
            squares.append([cosines(name, level, length, GROUPS, first) for first in steps])
    for leaf in LEAVES:
        for estimator in ("return", "graph", "ahead"):
            means = list[str]()
            for square in squares:
                values = [each[leaf][estimator] for each in square]  # of three steps
                means.append(f"{sum(values) / len(values):.2f}")
            cells = " | ".join(means)
            print(f"| {leaf} | `{estimator}` | {cells} |")  # noqa: T201


if __name__ == "__main__":
    main()
