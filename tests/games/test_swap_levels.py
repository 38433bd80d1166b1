"""Swap: levels and players in their order, and the row of random play in the paper."""

import math
from itertools import product
from statistics import fmean

import pytest

from vlm_gym.dice import Dice, mix
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import greedy, middling, play_baseline, random, solver

GAME = find("swap")
PAPER = GAME.settle("paper")


def outcomes(knobs, player, count):
    return [play_baseline(GAME, knobs, mix(number) >> 2, player) for number in range(count)]


def share(knobs, player, count):
    return fmean(outcome.success for outcome in outcomes(knobs, player, count))


def strength(knobs, player, count):
    """Success first, score where success does not tell."""
    runs = outcomes(knobs, player, count)
    return fmean(run.success for run in runs), fmean(run.score for run in runs)


def test_level_0_takes_the_solver_fewer_than_ten_moves():
    assert all(run.success and run.turns < 10 for run in outcomes(GAME.levels[0], solver, 30))


def test_level_4_defeats_the_greedy_player_but_not_the_solver():
    assert share(GAME.levels[4], greedy, 100) <= 0.1
    assert share(GAME.levels[4], solver, 15) >= 0.6


def test_the_solver_clears_more_than_greedy_with_refill():
    knobs = GAME.settle({"target": 0, "reward": "progress", "turns": 20})
    mine, theirs = (fmean(run.score for run in outcomes(knobs, player, 80)) for player in (solver, greedy))
    assert mine > theirs


@pytest.mark.slow
@pytest.mark.long
def test_levels_rise_and_players_keep_their_order():
    shares = [share(knobs, middling, 400) for knobs in GAME.levels]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[4] > 0.6
    for knobs in GAME.levels:
        low, middle, high = (strength(knobs, player, 60) for player in (random, greedy, solver))
        assert low < middle <= high


def valid_swaps(choices, runs):
    """The mean of valid swaps in 100 actions, drawn from `choices`, and its standard error."""
    scores = []
    for seed in range(runs):
        state, dice = GAME.start(mix(seed) >> 2, PAPER), Dice(seed, 1)
        for _ in range(100):
            action = GAME.read(dice.choice(choices), state)
            if action in GAME.legal(state):
                state = GAME.step(state, action).state
        scores.append(state.score)
    mean = fmean(scores)
    return mean, math.sqrt(fmean((score - mean) ** 2 for score in scores) / runs)


@pytest.mark.slow
def test_random_play_lands_at_the_papers_random_row():
    """The paper's 1 is a rounded mean of 100 runs: two different cells of one row or column, near or far.

    Two cells from anywhere hit too rarely, neighbours too often.
    """
    cells = list(product(range(1, 9), repeat=2))
    pairs = [(one, other) for one, other in product(cells, cells) if one != other]
    spelled = {pair: f"({pair[0][0]},{pair[0][1]}) ({pair[1][0]},{pair[1][1]})" for pair in pairs}
    in_line = [pair for pair in pairs if pair[0][0] == pair[1][0] or pair[0][1] == pair[1][1]]
    mean, error = valid_swaps([spelled[pair] for pair in in_line], 400)
    assert 0.5 < mean - 3 * error < mean + 3 * error < 1.5
    anywhere, error = valid_swaps(list(spelled.values()), 400)
    assert anywhere + 3 * error < 0.5
    neighbours, error = valid_swaps(list(GAME.actions(PAPER)), 400)
    assert neighbours - 3 * error > 1.5
