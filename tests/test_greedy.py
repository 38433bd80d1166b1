"""The greedy baseline decides before the dice of its turn are rolled."""

from dataclasses import replace

import pytest

from vlm_gym.dice import Dice
from vlm_gym.game import Game
from vlm_gym.registry import find, names
from vlm_gym.rollouts.baselines import greedy

OPEN = [name for name in names() if type(find(name)).imagine is Game.imagine]
"""Games in which nothing but the dice to come is hidden."""


@pytest.mark.parametrize("name", OPEN)
def test_greedy_plays_the_same_whatever_the_dice_of_its_turn_say(name: str) -> None:
    game = find(name)
    for seed in range(3):
        state = game.start(seed, game.levels[1])
        chosen = {greedy(game, replace(state, seed=other), Dice(seed)) for other in range(20, 32)}
        assert len(chosen) == 1
