"""GameVectorEnv: step for step what gymnasium's own vector environment makes of single environments."""

import pickle
import warnings
from itertools import combinations
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from vlm_gym.dice import Dice
from vlm_gym.envs.single import LOST, GameEnv, picture_space
from vlm_gym.envs.vector import GameVectorEnv
from vlm_gym.game import TEST
from vlm_gym.registry import names

NAMES = names()
SHORT = {"perception": {"size": 128}, "reasoning": {"level": 1, "turns": 6}}
"""Small pictures, and episodes that end soon."""


def same(left: object, right: object) -> bool:
    """Compare results, arrays by kind and value."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        if left.dtype != right.dtype or left.shape != right.shape:
            return False
        return all(map(same, left, right)) if left.dtype == object else bool((left == right).all())
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def kept(result: tuple) -> tuple:
    """Copy the pictures out of the buffer."""
    return result[0].copy(), *result[1:]


def actions(dice: Dice, mask: np.ndarray) -> np.ndarray:
    """Choose mostly legal actions, some illegal ones, some none."""
    chosen = []
    for row in mask:
        legal = np.flatnonzero(row).tolist()
        lost = dice.chance(0.2) or not legal
        chosen.append(dice.choice([LOST, 0, len(row) - 1]) if lost else dice.choice(legal))
    return np.array(chosen)


def both(name: str, number: int, mode: AutoresetMode) -> tuple[GameVectorEnv, SyncVectorEnv]:
    ours = GameVectorEnv(number, name, **SHORT, autoreset_mode=mode)
    return ours, SyncVectorEnv([lambda: GameEnv(name, **SHORT)] * number, autoreset_mode=mode)


def agreements() -> list[Any]:
    """List all games in all modes of autoreset; each game in one of them, in turn, runs by default."""
    modes = list(AutoresetMode)
    found = []
    for number, name in enumerate(NAMES):
        for mode in modes:
            default = mode is modes[number % len(modes)]
            marks = [] if default else [pytest.mark.slow, pytest.mark.long]
            found.append(pytest.param(name, mode, marks=marks))
    return found


@pytest.mark.parametrize(("name", "mode"), agreements())
def test_it_agrees_with_single_environments_in_every_autoreset_mode(name: str, mode: AutoresetMode) -> None:
    ours, theirs = both(name, 5, mode)
    dice, ends = Dice(1), 0
    seen = kept(ours.reset(seed=3))
    assert same(seen, theirs.reset(seed=3))
    for turn in range(25):
        if turn == 2:  # so that episodes do not all end together
            options = {"reset_mask": np.array([True, False, False, True, False])}
            seen = kept(ours.reset(options=options))
            assert same(seen, theirs.reset(options={**options}))
        mask = np.array([[word in legal for word in ours.words] for legal in ours.get_attr("legal")])
        chosen = actions(dice, mask)
        seen = kept(ours.step(chosen))
        assert same(seen, theirs.step(chosen))
        ended = seen[2] | seen[3]
        ends += int(ended.sum())
        if mode is AutoresetMode.DISABLED and ended.any():
            seen = kept(ours.reset(options={"reset_mask": ended}))
            assert same(seen, theirs.reset(options={"reset_mask": ended}))
    assert ends > 5
    seeds = [7, None, 9, None, 11]
    assert same(kept(ours.reset(seed=seeds)), theirs.reset(seed=seeds))
    assert same(kept(ours.reset()), theirs.reset())
    assert ours.np_random_seed == theirs.np_random_seed


@pytest.mark.parametrize("perception", range(5))
def test_pictures_agree_at_every_perception_level(perception: int) -> None:
    ours = GameVectorEnv(3, "2048", perception)
    theirs = SyncVectorEnv([lambda: GameEnv("2048", perception)] * 3)
    assert same(kept(ours.reset(seed=0)), theirs.reset(seed=0))
    for action in range(4):
        chosen = np.full(3, action)
        assert same(kept(ours.step(chosen)), theirs.step(chosen))


def test_gymnasium_makes_it_and_finds_nothing_to_warn_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gym.make_vec(
            "vlm_gym/2048-v0", 3, "vector_entry_point", perception=1, autoreset_mode="SameStep"
        )
    assert isinstance(envs, GameVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    again = gym.make_vec(envs.spec)
    assert isinstance(again, GameVectorEnv)
    assert (again.num_envs, again.look) == (3, envs.look)
    default = gym.make_vec("vlm_gym/2048-v0", num_envs=2)
    assert isinstance(default, GameVectorEnv)
    assert default.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert isinstance(gym.make_vec("vlm_gym/2048-v0", 2, "sync"), SyncVectorEnv)


def test_gymnasiums_wrappers_work_on_it() -> None:
    envs = RecordEpisodeStatistics(DictInfoToList(GameVectorEnv(2, "2048", **SHORT)).env)
    listed = DictInfoToList(GameVectorEnv(2, "2048", **SHORT))
    _, infos = listed.reset(seed=0)
    assert infos[1]["turns_left"] == 6
    envs.reset(seed=0)
    for _ in range(6):
        *_, infos = envs.step(np.full(2, LOST))
    assert infos["episode"]["r"].tolist() == pytest.approx([-1.0, -1.0])  # all turns are illegal


def test_spaces_hold_what_is_given() -> None:
    envs = GameVectorEnv(3, "2048")
    obs, infos = envs.reset(seed=0)
    assert obs in envs.observation_space
    assert obs[0] in envs.single_observation_space
    assert envs.action_space.sample() in envs.action_space
    assert envs.single_observation_space == GameEnv("2048").observation_space
    assert infos["action_mask"].shape == (3, 4)
    small = picture_space(2, 8, 8, 3)
    assert small == gym.spaces.Box(0, 255, (2, 8, 8, 3), np.uint8)
    small.seed(0)
    assert small.sample().std() > 50
    assert pickle.loads(pickle.dumps(small)) == small


def test_pictures_are_one_buffer_that_cannot_be_spoilt() -> None:
    envs = GameVectorEnv(2, "2048")
    first, _ = envs.reset(seed=0)
    second, *_ = envs.step(np.array([0, 1]))
    assert np.shares_memory(first, second)
    with pytest.raises(ValueError, match="read-only"):
        second[:] = 0


def test_copies_are_the_callers_own() -> None:
    envs = GameVectorEnv(2, "2048", copy=True)
    first, infos = envs.reset(seed=0)
    before = first.copy()
    second, *_ = envs.step([int(np.flatnonzero(row)[0]) for row in infos["action_mask"]])
    assert (first == before).all()
    assert (first != second).any()
    second[:] = 0
    assert (envs.step([LOST, LOST])[0] != 0).any()


def test_infos_are_fresh_at_every_step() -> None:
    envs = GameVectorEnv(2, "2048")
    _, first = envs.reset(seed=0)
    before = pickle.dumps(first)
    *_, second = envs.step([0, 1])
    assert pickle.dumps(first) == before
    arrays = [*first.values(), *second.values()]
    assert not any(np.shares_memory(*pair) for pair in combinations(arrays, 2))


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (-1, "seed -1 is not possible"),
        (2 * TEST - 1, f"seed {2 * TEST} is not possible"),
        (True, "seed True is not possible"),
        (1.5, "seed 1.5 is not possible"),
        ([1, 2], "2 seeds do not fit 3 environments"),
        ([1, 2, -3], "seed -3 is not possible"),
    ],
)
def test_seeds_that_are_not_possible_are_refused(seed: object, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        GameVectorEnv(3, "2048").reset(seed=seed)


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ([0, 1], "actions must be 3 whole numbers"),
        ([0.0, 1.0, 2.0], "actions must be 3 whole numbers"),
        ([0, 1, 4], "action 4 is not possible; actions are 0 to 3"),
        ([0, -2, 1], "action -2 is not possible"),
    ],
)
def test_actions_that_are_not_possible_change_nothing(chosen: list, error: str) -> None:
    envs = GameVectorEnv(3, "2048")
    envs.reset(seed=0)
    before = envs.get_attr("state")
    with pytest.raises(ValueError, match=error):
        envs.step(chosen)
    assert envs.get_attr("state") == before


@pytest.mark.parametrize(
    ("options", "kind", "error"),
    [
        ({"mask": 1}, ValueError, "unknown reset options"),
        ({"reset_mask": [True, False]}, TypeError, "numpy array of bool"),
        ({"reset_mask": np.array([1, 0])}, TypeError, "numpy array of bool"),
        ({"reset_mask": np.array([True])}, ValueError, "shape"),
        ({"reset_mask": np.array([False, False])}, ValueError, "True somewhere"),
        ({"reset_mask": np.array([True, False])}, gym.error.ResetNeeded, "without a reset_mask first"),
        ({"state": [None]}, ValueError, "1 states do not fit 2 environments"),
    ],
)
def test_reset_options_that_make_no_sense_are_refused(options: dict, kind: type, error: str) -> None:
    with pytest.raises(kind, match=error):
        GameVectorEnv(2, "2048").reset(options=options)


def test_it_must_be_reset_before_a_step_and_where_episodes_have_ended() -> None:
    envs = GameVectorEnv(2, "2048", **SHORT, autoreset_mode="Disabled")
    with pytest.raises(gym.error.ResetNeeded, match="no episode has begun"):
        envs.step([0, 0])
    envs.reset(seed=0)
    for _ in range(6):
        envs.step([LOST, LOST])
    with pytest.raises(gym.error.ResetNeeded, match=r"episodes \[0, 1\] have ended"):
        envs.step([0, 0])
    envs.reset(options={"reset_mask": np.array([True, True])})
    envs.step([0, 0])
    envs.close()
    with pytest.raises(gym.error.ClosedEnvironmentError):
        envs.step([0, 0])


def test_it_goes_on_from_given_states() -> None:
    one = GameEnv("2048")
    one.reset(seed=0)
    frame, *_ = one.step(1)
    envs = GameVectorEnv(3, "2048")
    obs, _ = envs.reset(options={"state": one.state})
    assert all((picture == frame).all() for picture in obs)
    other = one.game.start(5, one.knobs)
    obs, infos = envs.reset(options={"state": [one.state, other, one.state]})
    assert envs.get_attr("state") == (one.state, other, one.state)
    assert infos["turns_left"].tolist() == [99, 100, 99]
    envs.set_attr("state", [other, one.state, other])
    assert envs.get_attr("state") == (other, one.state, other)
    assert envs.call("picture")[1] is not None
    with pytest.raises(ValueError, match="2 values do not fit 3"):
        envs.set_attr("state", [other, other])


def test_it_shows_pictures_or_words() -> None:
    pictures = GameVectorEnv(2, "2048", render_mode="rgb_array")
    obs, infos = pictures.reset(seed=0)
    shown = pictures.render()
    assert shown is not None
    assert all((left == right).all() for left, right in zip(shown, obs, strict=True))
    assert not any(np.shares_memory(picture, obs) for picture in shown)
    words = GameVectorEnv(2, "2048", render_mode="ansi")
    words.reset(seed=0)
    assert words.render() == tuple(infos["truth"])
    assert GameVectorEnv(2, "2048").render() is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"num_envs": 0}, "num_envs=0 is not possible"),
        ({"render_mode": "human"}, "unknown render_mode 'human'"),
        ({"autoreset_mode": "never"}, "never"),
        ({"game": "2049"}, "unknown game '2049'"),
        ({"perception": 9}, "unknown perception level 9"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_choices(options: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        GameVectorEnv(**{"num_envs": 2, "game": "2048", **options})
