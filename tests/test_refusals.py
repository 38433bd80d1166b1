"""What is no action, no reply and no reset option is refused, before anything has changed."""

import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vlm_gym
from vlm_gym.envs.single import LOST, GameEnv, as_integer
from vlm_gym.envs.text import TextEnv
from vlm_gym.envs.vector import GameVectorEnv

SMALL = {"size": 64}

NO_NUMBERS = [
    0.0, 1.0, 3.7, -0.25, float("nan"), float("inf"), 2 + 0j, True, False, None, "1", "down", b"1", "",
    np.float64(2), np.float16(0.5), np.True_, np.array(1.0), np.array([1]), np.array([1, 2]), np.array("up"),
    [1], (1,), {}, {0}, object, 4, -2, 10**30, np.int8(-7), np.uint64(2**64 - 1),
]  # fmt: skip


def started(**options: Any) -> GameEnv:
    env = GameEnv("2048", SMALL, **options)
    env.reset(seed=5)
    return env


def refuses(env: GameEnv, do: Callable[[], object], match: str) -> None:
    """Check that a call is refused with these words and that the environment is as it was."""
    before = (env.state, env.run.turns, env.np_random.bit_generator.state)
    with pytest.raises(ValueError, match=match):
        do()
    assert (env.state, env.run.turns, env.np_random.bit_generator.state) == before


@pytest.mark.parametrize("action", NO_NUMBERS, ids=repr)
def test_what_is_no_action_is_refused_with_the_choices(action: Any) -> None:
    env = started()
    told = rf"^action {re.escape(repr(action))} is not possible; actions are 0 to 3, .*-1 for a turn without"
    refuses(env, lambda: env.step(action), told)


@pytest.mark.parametrize("action", NO_NUMBERS, ids=repr)
def test_the_vector_environment_refuses_the_same(action: Any) -> None:
    env = GameVectorEnv(2, "2048", SMALL)
    env.reset(seed=5)
    before = env.get_attr("state")
    with pytest.raises(ValueError, match=r"actions (must be 2 whole numbers|are 0 to 3)"):
        env.step([action, action])
    assert env.get_attr("state") == before


@pytest.mark.parametrize("kind", [int, np.int8, np.uint8, np.int64, np.uint64, np.array])
def test_whole_numbers_of_any_type_are_actions(kind: Callable[[int], Any]) -> None:
    plain = started()
    env = started()
    for number in (0, 1, 2, 3):
        assert env.step(kind(number))[1:] is not None
        plain.step(number)
        assert env.state == plain.state


def test_the_turn_without_an_action_is_still_taken() -> None:
    env = started()
    assert env.step(np.int8(LOST))[1] == env.game.illegal(env.knobs)


@pytest.mark.parametrize("name", vlm_gym.names())
def test_a_word_is_refused_with_the_number_that_stands_for_it(name: str) -> None:
    env = GameEnv(name, {"size": 128})
    _, info = env.reset(seed=1)
    word = info["legal"][-1]
    refuses(env, lambda: env.step(word), re.escape(f"{word!r} is action {env.index[word]}"))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.floats(), st.text(), st.binary(), st.none(), st.booleans(), st.lists(st.integers()), st.dates()
    )
)
def test_only_whole_numbers_are_whole(value: object) -> None:
    assert as_integer(value) is None


@pytest.mark.parametrize("reply", [None, 3, 1.5, b"<answer>up</answer>", ["<answer>up</answer>"]])
def test_what_is_no_text_is_no_reply(reply: Any) -> None:
    env = TextEnv(gym.make("vlm_gym/2048-v0", perception=SMALL))
    env.reset(seed=1)
    refuses(env.unwrapped, lambda: env.step(reply), "a reply is text")
    many = vlm_gym.make_vec("2048", 2, perception=SMALL)
    many.reset(seed=1)
    for replies in ([reply, "<answer>up</answer>"], reply):
        with pytest.raises(ValueError, match=r"a reply is text|a list of as many replies"):
            many.step(replies)
    many.step(np.array(["<answer>up</answer>"] * 2))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("state", "are a dict of state, turns"),
        (["state"], "are a dict of state, turns"),
        ({"states": 1}, r"unknown reset options \['states'\]"),
        ({"turn": 1, 2: 3}, r"unknown reset options \['turn', 2\]"),
        ({"turns": 3}, "turns needs the option state"),
        ({"state": None}, "NoneType is not a state of 2048"),
        ({"state": "board", "turns": 1}, "str is not a state of 2048"),
    ],
)
def test_reset_options_are_checked_before_anything_changes(options: Any, told: str) -> None:
    env = started()
    refuses(env, lambda: env.reset(seed=8, options=options), told)
    refuses(env, lambda: env.reset(options=options), told)


@pytest.mark.parametrize("turns", [0, 1, 11, -1, 2.0, True, "3", None, np.array([3])], ids=repr)
def test_turns_used_are_a_whole_number_between_the_moves_and_the_limit(turns: Any) -> None:
    env = started(reasoning={"level": 2, "turns": 10})
    for action in (0, 1, 2, 3):
        env.step(action)
    state = env.state
    assert state.turn >= 2
    told = rf"^turns={re.escape(repr(turns))} is not possible; .* {state.turn} turns at least, .* limit is 10"
    refuses(env, lambda: env.reset(seed=8, options={"state": state, "turns": turns}), told)


def test_turns_used_that_are_possible_are_taken() -> None:
    env = started(reasoning={"level": 2, "turns": 10})
    env.step(0)
    state = env.state
    for turns in (state.turn, 7, np.int64(9)):
        assert env.reset(options={"state": state, "turns": turns})[1]["turns_left"] == 10 - turns
    assert env.reset(options={})[1]["turns_left"] == 10
    assert env.reset(options=None)[1]["turns_left"] == 10


@pytest.mark.parametrize("workers", [0, 1])
def test_vector_environments_check_every_state_before_the_first_is_set(workers: int) -> None:
    env = vlm_gym.make_vec(["2048", "swap"], 2, workers=workers, perception=SMALL)
    _, info = env.reset(seed=1)
    twos, swaps = GameEnv("2048", SMALL), GameEnv("swap", SMALL)
    twos.reset(seed=7)
    swaps.reset(seed=7)
    other = GameEnv("swap", SMALL, reasoning=1)
    other.reset(seed=7)
    wrong = [
        ({"state": [twos.state, twos.state]}, "State is not a state of swap|Board is not a state of swap"),
        ({"state": [twos.state, other.state]}, "does not fit a game of"),
        ({"state": [twos.state, None]}, "NoneType is not a state of swap"),
        ({"state": [twos.state]}, "1 states do not fit 2"),
        ({"state": 3}, "takes a state, or a list of states, not 3"),
        ({"state": None}, "takes a state, or a list of states, not None"),
        ("state", "are a dict of reset_mask, state"),
        ({"turns": 3}, "unknown reset options"),
    ]
    for options, told in wrong:
        with pytest.raises(ValueError, match=told):
            env.reset(options=options)
    _, _, _, _, after = env.step(["", ""])
    assert after["truth"].tolist() == info["truth"].tolist()
    _, info = env.reset(options={"state": [twos.state, swaps.state]})
    assert info["truth"][0] == twos.run.scene.describe()
    mask = np.array([True, False])
    env.reset(
        options={"state": [twos.state, None], "reset_mask": mask}
    )  # what is masked out is not looked at
    env.close()


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "2", None])
def test_a_number_of_environments_that_cannot_be_is_refused(number: Any) -> None:
    for make in (lambda: GameVectorEnv(number, "2048", SMALL), lambda: vlm_gym.make_vec("2048", number)):
        with pytest.raises(ValueError, match=r"num_envs=.* is not possible"):
            make()
