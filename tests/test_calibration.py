"""Levels rise: a middling player wins less often from level to level, in every game whose play is cheap."""

from itertools import pairwise

import pytest

from vlm_gym.episode import deal
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import middling, play_baseline

EPISODES = 150
"""Deals of the test stream for each level: the standard error of a share is then 4 % at most."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["connect_four", "lights", "maze", "memory", "snake", "sokoban"])
def test_a_middling_player_wins_less_often_from_level_to_level(name: str) -> None:
    game = find(name)
    won = []
    for knobs in game.levels:
        outcomes = [
            play_baseline(game, knobs, deal(game, knobs, "test", index), middling)
            for index in range(EPISODES)
        ]
        won.append(sum(outcome.success for outcome in outcomes))
    assert all(easier > harder for easier, harder in pairwise(won)), won
