"""GameEnv: what gymnasium and its users may rely on, over all games."""

import gc
import pickle
import sys
import warnings
from collections.abc import Callable
from types import FrameType

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.dice import Dice
from vlm_gym.envs.single import LOST, GameEnv
from vlm_gym.envs.text import TextEnv
from vlm_gym.registry import find, names
from vlm_gym.render import draw

NAMES = names()
CORNERS = [
    *[(name, perception, reasoning) for name in NAMES for perception in (0, 4) for reasoning in (0, 4)],
    *[(name, 2, preset) for name in NAMES for preset in find(name).presets],
]
"""Games at the ends of both axes, and at their own presets."""
ALWAYS_LEGAL = {"breakout", "lights"}
"""Games in which every action is legal until they are over."""


def make(name: str, **options: object) -> GameEnv:
    env = gym.make(f"vlm_gym/{name}-v0", **options).unwrapped
    assert isinstance(env, GameEnv)
    return env


def play(env: GameEnv, seed: int, moves: int) -> list[tuple]:
    """Play random legal moves; list all that was observed."""
    dice, seen = Dice(seed, 99), []
    obs, info = env.reset(seed=seed)
    seen.append((obs.copy(), info))
    for _ in range(moves):
        action = dice.choice(np.flatnonzero(info["action_mask"]).tolist())
        obs, reward, terminated, truncated, info = env.step(action)
        seen.append((obs.copy(), reward, terminated, truncated, info))
        if terminated or truncated:
            break
    return seen


def same(left: object, right: object) -> bool:
    """Compare observations and infos, arrays by value."""
    if isinstance(left, np.ndarray):
        return bool(np.array_equal(left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw windows without a display."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.mark.usefixtures("no_display")
@pytest.mark.parametrize(("name", "perception", "reasoning"), CORNERS)
def test_gymnasium_finds_nothing_to_warn_about(name: str, perception: int, reasoning: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(f"vlm_gym/{name}-v0", perception=perception, reasoning=reasoning)
        check_env(env.unwrapped)  # tries every render mode
        env.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_wrapped_environment_passes_too(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check_env(TextEnv(gym.make(f"vlm_gym/{name}-v0")), skip_render_check=True)


def test_the_module_prefix_registers_without_an_import() -> None:
    assert gym.make("vlm_gym:vlm_gym/2048-v0").spec.id == "vlm_gym/2048-v0"


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_is_a_game_whatever_else_runs_in_the_process(name: str) -> None:
    first = play(make(name), 7, 12)
    np.random.seed(0)  # noqa: NPY002
    other = make(name)
    other.reset(seed=3)
    assert same(first, play(other, 7, 12))
    assert not same(first, play(other, 8, 12))  # the opening alone may look the same: all cards are covered


@pytest.mark.parametrize("name", NAMES)
def test_resets_without_a_seed_go_on_from_the_last_seed(name: str) -> None:
    left, right = make(name), make(name)
    for env in (left, right):
        env.reset(seed=11)
    states = [(env.reset(), env.state)[1] for env in (left, right, left, right)]
    assert states[0] == states[1]
    assert states[2] == states[3]
    assert states[0] != states[2]
    assert all(state.split == "train" for state in states)


@pytest.mark.parametrize("name", NAMES)
def test_the_two_axes_are_independent(name: str) -> None:
    runs = [play(make(name, perception=level, reasoning=1), 5, 10) for level in range(5)]
    for run in runs[1:]:
        for plain, hard in zip(runs[0], run, strict=True):
            assert same(plain[1:], hard[1:])  # rewards, ends and infos: the same game
            assert not np.array_equal(plain[0], hard[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_observation_is_the_picture_of_the_scene_and_is_fresh(name: str) -> None:
    env = make(name, perception=4)
    held = [env.reset(seed=1)[0]]
    copies = [held[0].copy()]
    for _ in range(12):
        _, info = env.reset(options={"state": env.state})
        action = int(np.flatnonzero(info["action_mask"])[0])
        obs, _, terminated, truncated, info = env.step(action)
        held.append(obs)
        copies.append(obs.copy())
        state = env.state
        assert np.array_equal(obs, draw(env.game.scene(state), env.look, state.seed, state.turn))
        assert info["truth"] == env.game.scene(state).describe()
        if terminated or truncated:
            break
    assert same(held, copies)  # nothing that was handed out is drawn on again
    assert len({id(obs) for obs in held}) == len(held)


def some_illegal(env: GameEnv) -> int:
    """Play to a position at which a listed action is illegal; return it, or `LOST` if there is none."""
    for seed in range(20):
        info = env.reset(seed=seed)[1]
        while info["turns_left"] > 2 and not env.state.over:
            if not info["action_mask"].all():
                return int(np.flatnonzero(info["action_mask"] == 0)[0])
            info = env.step(Dice(seed, env.state.turn).below(len(env.words)))[-1]
    env.reset(seed=0)
    return LOST


@pytest.mark.parametrize("name", NAMES)
def test_an_illegal_action_costs_one_changes_nothing_and_is_explained(name: str) -> None:
    env = make(name, reasoning=1)
    wrong, limit = some_illegal(env), env.knobs.turns
    assert (wrong == LOST) == (name in ALWAYS_LEGAL)
    before = env.state
    _, info = env.reset(options={"state": before, "turns": limit - 3})
    for turn in (1, 2, 3):
        obs, reward, terminated, truncated, after = env.step(wrong if turn < 3 else LOST)
        assert env.state == before
        assert (reward, terminated, truncated) == (-1 / limit, False, turn == 3)
        assert after["turns_left"] == 3 - turn
        assert after["event"] == ""
        assert after["error"]
        assert same(after["action_mask"], info["action_mask"])
        assert np.array_equal(obs, env.run.picture())
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        env.step(wrong)
    assert wrong == LOST or env.words[wrong] not in info["legal"]


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_is_the_legal_words(name: str) -> None:
    env = make(name)
    for _, *_, info in play(env, 3, 30):
        assert info["action_mask"].dtype == np.int8
        assert info["action_mask"].shape == (env.action_space.n,)
        assert tuple(np.array(env.words, object)[info["action_mask"] == 1]) == info["legal"]


@pytest.mark.parametrize("name", NAMES)
def test_a_state_set_back_is_the_whole_episode(name: str) -> None:
    env, other = make(name, perception=4), make(name, perception=4)
    for seed in range(20):
        play(env, seed, 4)
        if not env.state.over:
            break
    kept = pickle.loads(pickle.dumps(env.state))
    assert kept.turn == 4
    actions = np.flatnonzero(env.reset(options={"state": kept})[1]["action_mask"])[:3]
    results = []
    for target in (env, env, other):  # twice in one environment, then in another one
        branch = []
        for action in actions:
            target.reset(seed=9)
            target.state = kept
            branch.append(target.step(action))
            branch.append(target.state)
        results.append(branch)
    assert same(results[0], results[1])
    assert same(results[0], results[2])
    gained = env.game.step(kept, env.words[actions[0]]).score
    assert results[0][0][4]["score"] == kept.score + gained


@pytest.mark.parametrize("name", NAMES)
def test_over_and_out_of_turns_are_told_apart(name: str) -> None:
    env = make(name, reasoning={"level": 0, "turns": 2})
    ends = {play(env, seed, 9)[-1][2:4] for seed in range(20)}
    assert (False, True) in ends
    assert ends <= {(False, True), (True, False)}  # the game of one who plays at random may be over sooner
    env = make(name, reasoning=0)
    _, info = env.reset(seed=1)
    terminated = truncated = False
    while not (terminated or truncated):
        action = env.words.index(env.game.solve(env.state).action)
        _, _, terminated, truncated, info = env.step(action)
    assert (terminated, truncated, info["success"]) == (True, False, True)
    assert info["legal"] == ()
    assert not info["action_mask"].any()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


@pytest.mark.parametrize("name", NAMES)
def test_control_c_is_heard_whichever_function_is_entered_when_it_comes(name: str) -> None:
    def turn() -> None:
        env = GameEnv(name, perception=4)
        env.reset(seed=3)
        env.step(0)

    interrupted(turn, 0)  # which draws the sprites: the next one enters fewer, and always as many
    entered = interrupted(turn, 0)
    assert entered > 100
    for number in range(1, entered + 1):
        with pytest.raises(KeyboardInterrupt):
            interrupted(turn, number)


def interrupted(work: Callable[[], None], number: int) -> int:
    """Do something, interrupted at its place of that number at which a function is entered; 0: count them.

    A place is a function and the line that calls it. A deal that is tried many times enters the same places
    thousands of times. The garbage collector is off: it comes at any allocation, and Python drops what its
    callbacks raise (hypothesis has one).
    """
    places = set()

    def enter(frame: FrameType, event: str, value: object) -> None:
        caller = frame.f_back
        place = (frame.f_code, caller and caller.f_code, caller and caller.f_lineno)
        if place not in places:
            places.add(place)
            if len(places) == number:
                raise KeyboardInterrupt

    before = sys.gettrace()
    gc.disable()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return len(places)


def test_nothing_can_be_done_before_the_first_reset() -> None:
    env = make("2048", render_mode="ansi")
    for action in (lambda: env.step(0), lambda: env.state, env.render):
        with pytest.raises(gym.error.ResetNeeded, match="reset"):
            action()


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1.5, "7", True, [1]])
def test_a_seed_of_a_wrong_kind_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="a seed is a whole number"):
        make("2048").reset(seed=seed)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"perception": 5}, "levels: 0, 1, 2, 3, 4"),
        ({"perception": {"theme": "comic"}}, "classic, night"),
        ({"perception": {"size": 63}}, "whole numbers 64 to 1024"),
        ({"perception": {"nois": 0.1}}, "did you mean 'noise'"),
        ({"reasoning": "hard"}, "paper"),
        ({"reasoning": {"row": 3}}, "knobs: turns, reward"),
        ({"reasoning": {"turns": 0}}, "turns takes whole numbers"),
        ({"game": "2084"}, "did you mean '2048'"),
    ],
)
def test_a_wrong_option_is_an_error_that_lists_the_right_ones(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GameEnv(**{"game": "2048", **options})


def test_states_of_other_rules_are_refused() -> None:
    env, other = make("2048", reasoning=1), make("2048", reasoning=2)
    env.reset(seed=1)
    other.reset(seed=1)
    with pytest.raises(ValueError, match="does not fit"):
        env.state = other.state
    with pytest.raises(ValueError, match="not a state of 2048"):
        env.state = "board"
    with pytest.raises(ValueError, match="options: state, turns"):
        env.reset(options={"stat": 1})


@pytest.mark.parametrize("name", NAMES)
def test_ansi_is_the_scene_in_words(name: str) -> None:
    env = make(name, render_mode="ansi")
    _, info = env.reset(seed=4)
    assert env.render() == info["truth"]


def test_an_environment_can_be_pickled_and_goes_on_alike() -> None:
    env = make("2048", perception=3)
    play(env, 1, 5)
    twin = pickle.loads(pickle.dumps(env))
    assert twin.state == env.state
    for action in (0, 1, 2, 3):
        assert same(env.step(action), twin.step(action))


# --- the text wrapper


def text_env(name: str = "2048", **options: object) -> TextEnv:
    return TextEnv(gym.make(f"vlm_gym/{name}-v0", **options))


@pytest.mark.parametrize("name", NAMES)
def test_replies_play_the_same_game_as_actions(name: str) -> None:
    text, plain = text_env(name), make(name)
    observation, info = text.reset(seed=3)
    frame, _ = plain.reset(seed=3)
    assert np.array_equal(observation["image"], frame)
    assert observation in text.observation_space
    for _ in range(3):
        word = plain.game.solve(plain.state).action
        observation, reward, *_, info = text.step(f"<think>so</think> <answer> {word.upper()} </answer>")
        frame, plain_reward, *_ = plain.step(plain.words.index(word))
        assert np.array_equal(observation["image"], frame)
        assert (reward, info["error"], info["reply"].action) == (plain_reward, "", word)


@pytest.mark.parametrize(
    "reply", ["", "left", "<answer>left</answer><answer>up</answer>", "<answer>fly</answer>"]
)
def test_a_reply_without_one_legal_answer_is_a_turn_lost(reply: str) -> None:
    env = text_env()
    _, before = env.reset(seed=1)
    _, reward, terminated, truncated, info = env.step(reply)
    assert (reward, terminated, truncated) == (env.unwrapped.game.illegal(env.unwrapped.knobs), False, False)
    assert info["error"] == info["reply"].error != ""
    assert (info["truth"], info["turns_left"]) == (before["truth"], before["turns_left"] - 1)


def test_only_our_games_can_be_played_by_replies() -> None:
    with pytest.raises(ValueError, match="games of vlm_gym"):
        TextEnv(gym.make("CartPole-v1"))


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_no_reply_breaks_the_environment(reply: str) -> None:
    env = text_env()
    env.reset(seed=1)
    assert env.step(reply)[1] == env.unwrapped.game.illegal(env.unwrapped.knobs)
