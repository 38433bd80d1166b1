"""Positions to train on: the same for a seed, of every kind that is asked for, none of the test stream."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from vlm_gym.dice import Dice
from vlm_gym.episode import Episode, held_out
from vlm_gym.game import TEST
from vlm_gym.registry import find
from vlm_gym.render import Painter, look
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.reward import fork
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.rollouts.states import Mixture, Position, sample

PAPER = {"2048": 100, "swap": 100, "shisen_sho": 250}
"""Random moves before a training position of the paper's."""
EVERY = [Mixture(game=game, reasoning="1", fresh=1, walk=1, solver=1, moves=6) for game in PAPER]


def positions(game, reasoning="1", policy="middling", split="train"):
    """A policy's own play."""
    turns = rollout([Episode(game, "0", reasoning, split, index) for index in range(4)], Baseline(policy))
    return [Position(turn.episode.game, turn.state) for turn in turns]


def test_a_seed_fixes_the_positions_and_another_gives_others():
    assert sample(40, EVERY, 1) == sample(40, EVERY, 1)
    assert sample(40, EVERY, 1)[:10] == sample(10, EVERY, 1)
    assert not set(sample(40, EVERY, 1)) & set(sample(40, EVERY, 2))


def test_processes_draw_the_same_positions():
    own = positions("2048")
    mixtures = [*EVERY, Mixture(game="2048", reasoning="1", on_policy=1)]
    assert sample(60, mixtures, 5, own, workers=2) == sample(60, mixtures, 5, own)


@pytest.mark.parametrize("game", PAPER)
def test_positions_are_not_over_not_of_the_test_stream_and_of_the_rules_asked_for(game):
    own = positions(game) + positions(game, split="test")
    drawn = sample(200, [replace(EVERY[0], game=game, on_policy=1)], 3, own)
    assert len(drawn) == 200
    for name, state, _ in drawn:
        assert name == game
        assert not state.over
        assert state.seed < TEST
        assert state.knobs == find(game).levels[1]
        assert not held_out(find(game), state)


def test_the_own_play_holds_states_that_must_be_left_out():
    own = positions("2048") + positions("2048", split="test")
    assert any(held_out(find("2048"), state) or state.seed >= TEST for _, state, _ in own)


def test_each_kind_of_play_leads_to_its_own_positions():
    game = find("2048")
    fresh, walk, solver = (
        [
            state
            for _, state, _ in sample(16, [Mixture(game="2048", reasoning="paper", moves=20, **{kind: 1})], 7)
        ]
        for kind in ("fresh", "walk", "solver")
    )
    assert {state.turn for state in fresh} == {0}
    assert Counter(state.turn for state in walk).most_common(1)[0][0] == 20
    assert {round(state.turn, -1) for state in solver} == {0, 10, 20}
    assert all(state == solved(game, state) for state in solver)
    assert not any(state == solved(game, state) for state in walk)


def solved(game, state):
    """Where the solver stands after as many turns of the same deal."""
    other = game.start(state.seed, state.knobs)
    for _ in range(state.turn):
        other = game.step(other, game.solve(other).action).state
    return other


def test_a_game_that_ends_before_the_walk_gives_any_of_its_positions():
    drawn = sample(300, [Mixture(game="shisen_sho", reasoning="paper", walk=1, moves=250)], 1)
    turns = Counter(state.turn for _, state, _ in drawn)
    assert min(turns) == 0
    assert max(turns) >= 15
    assert max(turns.values()) < 60


def test_shares_and_weights_are_kept():
    mixtures = [
        Mixture(game="2048", reasoning="1", weight=3, fresh=1, walk=3, moves=5),
        Mixture(game="swap", reasoning="1", weight=1, fresh=1),
        Mixture(game="shisen_sho", reasoning="1", weight=0, fresh=1),
    ]
    drawn = sample(800, mixtures, 11)
    games = Counter(game for game, _, _ in drawn)
    assert games["2048"] == pytest.approx(600, abs=60)
    assert games["swap"] == 800 - games["2048"]
    fresh = sum(state.turn == 0 for game, state, _ in drawn if game == "2048")
    assert fresh == pytest.approx(games["2048"] / 4, abs=50)


def test_own_positions_are_drawn_from_those_brought_of_the_same_game_and_rules():
    own = [*positions("2048"), *positions("swap"), *positions("2048", "2")]
    drawn = sample(50, [Mixture(game="2048", reasoning="1", on_policy=1)], 1, own)
    assert set(drawn) <= set(positions("2048"))
    assert len(set(drawn)) > 10


def test_a_share_of_own_play_without_any_is_an_error():
    with pytest.raises(ValueError, match="share of own play, but none of its positions"):
        sample(1, [Mixture(game="2048", on_policy=1)], 1, positions("swap"))


def test_unique_positions_differ_to_the_eye():
    mixture = [Mixture(game="2048", reasoning="0", walk=1, moves=1)]
    seen = [find(game).scene(state).describe() for game, state, _ in sample(100, mixture, 1)]
    unique = [find(game).scene(state).describe() for game, state, _ in sample(100, mixture, 1, unique=True)]
    assert len(unique) == len(set(unique)) == 100
    assert list(dict.fromkeys(seen)) == unique[: len(set(seen))]


def test_more_unique_positions_than_there_are_is_an_error():
    own = positions("2048")[:30]
    with pytest.raises(ValueError, match=r"100 different positions are wanted, but only .. were found"):
        sample(100, [Mixture(game="2048", reasoning="1", on_policy=1)], 1, own, unique=True)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"walk": -1}, {"fresh": 1, "weight": -1}, {"walk": 1, "moves": -1}, {"fresh": 2, "on_policy": -1}],
)
def test_impossible_mixtures_are_refused(wrong):
    with pytest.raises(ValueError, match="is not possible"):
        Mixture(game="2048", **wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"game": "chess"}, "unknown game 'chess'"), ({"reasoning": "9"}, "unknown reasoning")],
)
def test_unknown_games_and_levels_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        sample(1, [Mixture(**{"game": "2048", "fresh": 1, **wrong})], 1)


# Speed and memory. The limits are twice the aims, for machines that are busy: 60,000 copies of a frame, half
# a second where one takes 8.5 µs, and 10,000 forks a second.


def seconds(deed, rounds=3):
    """The processor time of the quickest of some rounds."""

    def once(round_):
        start = process_time()
        deed(round_)
        return process_time() - start

    return min(map(once, range(rounds)))


def copies(count):
    """Make so many copies of a frame, which tell how fast the machine is at this moment."""

    def copy(_):
        frame, other = np.zeros((2, 448, 448, 3), np.uint8)
        for _ in range(count):
            np.copyto(other, frame)

    return copy


@pytest.mark.parametrize(("name", "moves"), PAPER.items())
def test_environments_take_little_of_a_training_iteration(name, moves):
    game, painter = find(name), Painter(look(0))
    mixture = [Mixture(game=name, reasoning="paper", walk=1, moves=moves)]

    def iteration(seed):
        states = [state for _, state, _ in sample(128, mixture, seed)]
        for state in states:
            painter.paint(game.scene(state), state.seed, state.turn)
        replies = [
            [f"<perception>-</perception><think>-</think><answer>{action}</answer>" for action in actions[:5]]
            for actions in (game.legal(state) + game.actions(state.knobs) for state in states)
        ]
        assert sum(len(fork(game, state, each)) for state, each in zip(states, replies, strict=True)) == 640

    assert seconds(iteration) < 120 * seconds(copies(1000))


@pytest.mark.parametrize("name", PAPER)
def test_a_state_is_forked_ten_thousand_times_a_second(name):
    game = find(name)
    ((_, state, _),) = sample(1, [Mixture(game=name, reasoning="paper", walk=1, moves=5)], 1)
    replies = [f"<answer>{action}</answer>" for action in game.legal(state)] * 1000
    assert seconds(lambda _: fork(game, state, replies[:2000])) < 0.4


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", PAPER)
def test_memory_is_flat_over_100_000_steps(name):
    game = find(name)
    walk(game, 20_000)  # until caches are full
    before = resident()
    walk(game, 100_000)
    assert resident() - before < 4 << 20


def walk(game, steps):
    """Play at random, from deal to deal."""
    knobs, dice, deals = game.settle("paper"), Dice(steps), iter(range(steps))
    state = game.start(next(deals), knobs)
    for _ in range(steps):
        state = game.step(state, dice.choice(game.legal(state))).state
        if state.over:
            state = game.start(next(deals), knobs)


def resident():
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
