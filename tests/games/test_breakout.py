"""Breakout: walls, bricks and the paddle by hand-made flights, and what always holds."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.breakout.court import UNIT, Court, lost, tick

from vlm_gym.dice import Dice
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import PLAYERS, play_baseline

GAME = find("breakout")
EMPTY = Court(rows=7, cols=6, width=2, bricks=bytes(42), paddle=8, x=8, y=8, right=1, down=2)


def test_the_ball_flies_straight():
    after = tick(EMPTY, 0)
    assert (after.x, after.y, after.right, after.down) == (9, 10, 1, 2)


@pytest.mark.parametrize(("x", "right"), [(0, -1), (1, -2), (20, 1), (19, 2)])
def test_a_side_wall_turns_the_ball(x, right):
    assert tick(EMPTY._replace(x=x, right=right), 0).right == -right


def test_the_ceiling_turns_the_ball():
    assert tick(EMPTY._replace(y=0, down=-2), 0).down == 2


def test_a_brick_is_gone_once_hit_and_turns_the_ball():
    bricks = bytearray(42)
    bricks[1 * 6 + 2] = 1
    after = tick(EMPTY._replace(bricks=bytes(bricks), x=7, y=8, down=-2), 0)
    assert after.bricks.count(1) == 1  # the middle is still in row 3 at y = 6: 6 + 2 = 8
    after = tick(after, 0)
    assert after.bricks.count(1) == 0
    assert after.down == 2


@pytest.mark.parametrize(
    ("paddle", "right"), [(8, -1), (6, 1), (3, 2), (11, -2)], ids=["left", "middle", "right end", "left end"]
)
def test_the_paddle_sends_the_ball_to_the_side_of_the_hit(paddle, right):
    landing = EMPTY._replace(paddle=paddle, x=7, y=20, right=1)
    after = tick(landing, 0)
    assert after.down == -2
    assert after.right == right


def test_a_ball_beside_the_paddle_is_lost():
    after = tick(EMPTY._replace(paddle=0, x=15, y=20), 0)
    assert lost(after)


def test_the_paddle_stays_inside():
    assert tick(EMPTY._replace(paddle=1), -2).paddle == 0
    assert tick(EMPTY._replace(paddle=15), 2).paddle == 16


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 40), level=st.integers(0, 4))
def test_everything_stays_on_the_court(seed, level):
    state = GAME.start(seed, GAME.levels[level])
    dice = Dice(seed, 5)
    knobs = state.knobs
    while not state.over and state.turn < 60:
        before = state
        state = GAME.step(state, GAME.solve(state).action if dice.chance(0.7) else "left").state
        assert 0 <= state.x <= (knobs.cols - 1) * UNIT
        assert 0 <= state.y <= (knobs.height - 1) * UNIT
        assert 0 <= state.paddle <= (knobs.cols - knobs.paddle) * UNIT
        assert abs(state.right) in (1, 2)
        assert abs(state.down) == 2
        assert state.score - before.score == before.bricks.count(1) - state.bricks.count(1)
        assert GAME.success(state) == (state.score >= knobs.bricks)


def test_the_thought_finds_where_the_ball_lands():
    for seed in range(30):
        state = GAME.start(seed, GAME.levels[1])
        landing = [step for step in GAME.think(state).steps if step.startswith("it lands at ")]
        court = state.court
        while court.y + court.down <= (court.rows - 2) * UNIT:
            court = tick(court, 0)
        assert landing == [f"it lands at {tick(court, 0).x + UNIT // 2}"]


def test_wind_changes_the_slope_and_not_the_side():
    knobs = replace(GAME.levels[0], wind=50)
    turned = 0
    for seed in range(40):
        state = GAME.start(seed, knobs)
        calm = GAME.step(replace(state, knobs=replace(knobs, wind=0)), "stay").state
        windy = GAME.step(state, "stay").state
        if windy.right != calm.right:
            assert {abs(windy.right), abs(calm.right)} == {1, 2}
            assert windy.right * calm.right > 0
            turned += 1
    assert 5 < turned < 35


def test_impossible_courts_are_refused():
    with pytest.raises(ValueError, match="rows takes 1 to 3"):
        GAME.settle({"rows": 4})
    with pytest.raises(ValueError, match="bricks takes 1 to 14"):
        GAME.settle({"bricks": 15})


@pytest.mark.slow
def test_middling_success_falls_from_level_to_level():
    won = []
    for knobs in GAME.levels:
        outcomes = [play_baseline(GAME, knobs, seed, PLAYERS["middling"]) for seed in range(150)]
        won.append(sum(outcome.success for outcome in outcomes))
    assert all(easier > harder for easier, harder in pairwise(won))
