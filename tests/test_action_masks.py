"""Masks of legal actions, as MaskablePPO of sb3-contrib asks for them."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from worlds.throw import Throw

from vlm_gym.envs.single import GameEnv


def test_masks_name_the_legal_actions_through_the_wrappers_of_gymnasium():
    env = gym.make("vlm_gym/2048-v0", perception=0, reasoning=1)
    assert isinstance(env.action_space, Discrete)
    with pytest.raises(gym.error.ResetNeeded):
        env.get_wrapper_attr("action_masks")()
    _, info = env.reset(seed=1)
    ended = False
    while not ended:
        masks = env.get_wrapper_attr("action_masks")()
        assert masks.dtype == np.bool_
        words = env.unwrapped.words
        assert tuple(word for word, legal in zip(words, masks, strict=True) if legal) == info["legal"]
        assert np.array_equal(masks, info["action_mask"])
        _, _, terminated, truncated, info = env.step(int(np.flatnonzero(masks)[0]))
        ended = terminated or truncated
    env.close()


def test_a_game_with_open_actions_has_no_masks():
    env = GameEnv(Throw())
    env.reset(seed=1)
    with pytest.raises(ValueError, match="no action masks"):
        env.action_masks()


@pytest.mark.adapters
@pytest.mark.slow
def test_maskable_ppo_takes_a_thousand_steps_on_the_pictures_and_none_is_illegal():
    sb3 = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib: `make test-adapters`")
    illegal = []

    class Watched(gym.Wrapper):
        def step(self, action):
            result = super().step(action)
            illegal.append(bool(result[-1]["error"]))
            return result

    env = Watched(gym.make("vlm_gym/2048-v0", perception={"size": 112}, reasoning=1))
    model = sb3.MaskablePPO(
        "CnnPolicy",
        env,
        n_steps=250,
        batch_size=125,
        n_epochs=1,
        seed=0,
        device="cpu",
        policy_kwargs={"features_extractor_kwargs": {"features_dim": 32}},
    )
    before = [weight.detach().clone() for weight in model.policy.parameters()]
    model.learn(1000)
    assert len(illegal) == 1000
    assert not any(illegal)
    after = list(model.policy.parameters())
    assert any(not old.equal(new.detach()) for old, new in zip(before, after, strict=True))


@pytest.mark.adapters
@pytest.mark.slow
def test_the_example_runs():
    pytest.importorskip("sb3_contrib", reason="needs sb3-contrib: `make test-adapters`")
    script = Path(__file__).parents[1] / "examples" / "sb3.py"
    done = subprocess.run(
        [sys.executable, script, "--steps", "2"], capture_output=True, text=True, timeout=600
    )
    assert "trained for 2 turns" in done.stdout, done.stderr
