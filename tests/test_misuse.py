"""Mistakes of a caller meet an error with the choices, in every game."""

from dataclasses import fields

import pytest

from vlm_gym.envs.single import GameEnv
from vlm_gym.registry import find, names

ACTIONS = ("left", "(1,1)", "(1,1) (1,2)", "column 1", "column 1 turned 0", "stay")
"""Actions of different games."""


@pytest.mark.parametrize("name", names())
def test_a_knob_out_of_range_is_refused_with_its_range(name: str) -> None:
    game = find(name)
    for entry in fields(game.levels[0]):
        within = entry.metadata["within"]
        if len(within) == 2 and isinstance(within[0], int | float):
            for wrong in (within[0] - 1, within[1] + 1):
                with pytest.raises(ValueError, match=f"{entry.name}={wrong}.* {within[0]} to {within[1]}"):
                    game.settle({entry.name: wrong})


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("level", ["5", "hard", {"depht": 3}])
def test_a_level_that_is_none_is_refused_with_those_there_are(name: str, level: object) -> None:
    with pytest.raises(ValueError, match=r"0, 1, 2, 3, 4|turns"):
        find(name).settle(level)


@pytest.mark.parametrize("name", names())
def test_an_action_of_another_game_is_refused_with_legal_ones(name: str) -> None:
    game = find(name)
    state = game.start(0, game.levels[0])
    strange = [action for action in ACTIONS if action not in game.actions(state.knobs)]
    assert strange
    for action in strange:
        assert not game.allows(state, action)
        with pytest.raises(ValueError, match="legal") as refused:
            game.step(state, action)
        assert game.legal(state)[0] in str(refused.value)


@pytest.mark.parametrize("name", names())
def test_a_state_of_another_game_is_refused(name: str) -> None:
    other = find("lights" if name != "lights" else "maze")
    with pytest.raises(ValueError, match=f"is not a state of {name}"):
        GameEnv(name).reset(options={"state": other.start(0, other.levels[0])})
