"""The return of an episode: better play earns more, and an illegal turn never pays."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from vlm_gym.envs.run import Run
from vlm_gym.episode import deal
from vlm_gym.game import Game
from vlm_gym.registry import find, names
from vlm_gym.render import look
from vlm_gym.returns import ILLEGAL, LEGAL, illegal_turn, legal_turn
from vlm_gym.rollouts.baselines import PLAYERS, BaselineResult, play_baseline

ORDER = ("solver", "middling", "legal", "random")
"""Players from the best to the worst."""
SQUARES = [(name, level) for name in names() for level in range(5)]
SLOW = {("shisen_sho", 3), ("shisen_sho", 4), ("shisen_sho_photos", 3), ("shisen_sho_photos", 4)}
"""Squares whose solver takes most of a minute for all deals."""
LONG = SLOW - {("shisen_sho", 3)}
"""With photos the rules are the same, and level 4 takes minutes."""


def marked(squares: list[tuple[str, int]]) -> list:
    found = []
    for name, level in squares:
        # One worker plays a square for all tests: `outcomes` remembers its games.
        marks = [pytest.mark.xdist_group(f"returns of {name} {level}")]
        if (name, level) in SLOW:
            marks.append(pytest.mark.slow)
        if (name, level) in LONG:
            marks.append(pytest.mark.long)
        found.append(pytest.param(name, level, marks=marks))
    return found


@cache
def outcomes(name: str, level: int, player: str, episodes: int) -> tuple[BaselineResult, ...]:
    game = find(name)
    knobs = game.levels[level]
    seeds = [deal(game, knobs, "test", index) for index in range(episodes)]
    return tuple(play_baseline(game, knobs, seed, PLAYERS[player]) for seed in seeds)


def differ(better: list[float], worse: list[float], errors: float = 1.0) -> bool:
    """Return whether two means differ by more than so many standard errors of their paired difference."""
    difference = np.array(better) - np.array(worse)
    error = difference.std(ddof=1) / len(difference) ** 0.5
    return bool(abs(difference.mean()) > max(errors * error, 1e-9))


@pytest.mark.parametrize(("name", "level"), marked(SQUARES))
def test_better_players_earn_more(name: str, level: int) -> None:
    episodes = 16
    played = [outcomes(name, level, player, episodes) for player in ORDER]
    for better, worse in pairwise(played):
        returns = [[outcome.total for outcome in outcomes] for outcomes in (better, worse)]
        goals = [[float(outcome.success) for outcome in outcomes] for outcomes in (better, worse)]
        turns = [
            [float(outcome.turns) if outcome.success else 1e3 for outcome in outcomes]
            for outcomes in (better, worse)
        ]
        # The goal and the turns to it decide. Scores decide between players that both miss the goal.
        clear = differ(*goals) or differ(*turns)
        if clear and np.mean(turns[0]) < np.mean(turns[1]):
            assert np.mean(returns[0]) > np.mean(returns[1])
            assert differ(*returns)
        elif clear:  # the weaker player can have the luck of 16 deals: returns follow the goals all the same
            assert np.mean(returns[0]) < np.mean(returns[1])
            assert not differ(*goals, errors=2)
        elif np.mean(returns[0]) < np.mean(returns[1]):
            assert not differ(*returns, errors=2)


@pytest.mark.parametrize(("name", "level"), marked(SQUARES))
def test_goal_rate_and_return_agree_in_order(name: str, level: int) -> None:
    played = {player: outcomes(name, level, player, 16) for player in ORDER}
    for one in ORDER:
        for other in ORDER:
            goals = [np.mean([outcome.success for outcome in played[player]]) for player in (one, other)]
            if goals[0] > goals[1] and differ(*[[float(o.success) for o in played[p]] for p in (one, other)]):
                means = [np.mean([outcome.total for outcome in played[player]]) for player in (one, other)]
                assert means[0] > means[1]


@pytest.mark.parametrize(("name", "level"), marked(SQUARES))
def test_returns_lie_between_minus_one_and_two(name: str, level: int) -> None:
    for player in ORDER:
        for outcome in outcomes(name, level, player, 16):
            assert -1 - 1e-9 <= outcome.total <= 2


@pytest.mark.parametrize("name", names())
def test_a_game_of_illegal_turns_earns_minus_one(name: str) -> None:
    game = find(name)
    run = Run(game, game.levels[0], look(0))
    run.start(3)
    total = 0.0
    while not run.ended:
        total += run.step(None).reward
    assert total == pytest.approx(-ILLEGAL)


def lost_by_delay(game: Game, level: int, wasted: int) -> float:
    """Play the solver after so many illegal turns; return the reward sum."""
    run = Run(game, game.levels[level], look(0))
    run.start(11)
    total = 0.0
    for _ in range(wasted):
        total += run.step(None).reward
    while not run.ended:
        plan = game.solve(run.state)
        assert plan is not None
        total += run.step(plan.action).reward
    return total


@pytest.mark.parametrize("name", names())
def test_illegal_turns_on_the_way_to_the_goal_lower_the_return(name: str) -> None:
    game = find(name)
    totals = [lost_by_delay(game, 0, wasted) for wasted in (0, 1, 2)]
    assert totals[0] > totals[1] > totals[2]


def test_an_illegal_turn_costs_more_than_a_legal_one_and_at_most_the_goal() -> None:
    for limit in (1, 2, 10, 100, 100_000):
        legal = legal_turn(0.3, 0.3, False, limit)
        assert legal == pytest.approx(-LEGAL / limit)
        assert -1.0 <= illegal_turn(limit) < legal < 0


@pytest.mark.parametrize("name", names())
def test_the_paper_rewards_are_one_and_minus_one(name: str) -> None:
    game = find(name)
    knobs = replace(game.levels[1], reward="paper")
    state = game.start(5, knobs)
    for action in game.legal(state):
        step = game.step(state, action)
        assert step.reward == (1.0 if step.score > 0 else -1.0)
    assert game.illegal(knobs) == -1.0
