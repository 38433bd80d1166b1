"""Connect Four: lines by a second implementation, the opponent by plain search, thoughts by hand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.connect_four.board import THEY, YOU, Shape, drop, lines
from vlm_gym.games.connect_four.search import replies

from vlm_gym.dice import Dice
from vlm_gym.game import TOLERANCE, Board
from vlm_gym.registry import find

GAME = find("connect_four")
STANDARD = GAME.settle({"depth": 0})
LETTERS = {".": 0, "r": YOU, "y": THEY}


def state_of(text, **changes):
    """Return a position drawn by hand, r for red and y for yellow; the rows above the drawing are empty."""
    rows = text.split("/")
    cols = len(rows[0])
    knobs = replace(STANDARD, cols=cols, **changes)
    rows = ["." * cols] * (knobs.rows - len(rows)) + rows
    return Board(knobs=knobs, seed=1, cells=bytes(LETTERS[disc] for row in rows for disc in row))


def has_line(state, player):
    """Look for a line, disc by disc, in every direction from every cell."""
    cols = state.knobs.cols
    connect = state.knobs.connect
    held = {divmod(cell, cols) for cell, disc in enumerate(state.cells) if disc == player}
    return any(
        all((row + k * down, col + k * right) in held for k in range(connect))
        for row, col in held
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
    )


def test_the_standard_board_has_69_lines():
    assert len(set(lines(Shape(6, 7, 4)))) == 69


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("rrr....", "column 4"),
        ("r.rr...", "column 2"),
        ("r....../r....../r......", "column 1"),
        ("..ry.../.rry.../ryyr...", "column 4"),
        ("...yr../...yrr./...ryyr", "column 4"),
    ],
)
def test_four_in_a_line_win(text, action):
    step = GAME.step(state_of(text), action)
    assert step.state.over
    assert GAME.success(step.state)
    assert step.score == 1
    assert GAME.progress(step.state) == 1


def test_a_line_does_not_go_around_the_edge():
    step = GAME.step(state_of("r....../.....rr"), "column 7")
    assert not step.state.over


def test_a_disc_falls_onto_the_lowest_free_cell():
    after = GAME.step(state_of("y......"), "column 1").state
    assert after.cells[4 * 7] == YOU
    assert after.cells.count(YOU) == 1
    assert after.cells.count(THEY) == 2


def test_a_full_column_is_illegal():
    state = state_of("r....../y....../r....../y....../r....../y......")
    assert "column 1" not in GAME.legal(state)
    with pytest.raises(ValueError, match="column 2"):
        GAME.step(state, "column 1")


def test_the_opponent_wins_and_the_game_is_lost():
    step = GAME.step(state_of("yyy....", depth=1), "column 7")
    assert step.state.over
    assert not GAME.success(step.state)
    assert GAME.progress(step.state) == 0
    assert step.reward < 0


def test_the_opponent_blocks_from_depth_two_on():
    state = state_of("rrr....")
    after = GAME.step(replace(state, knobs=replace(state.knobs, depth=2)), "column 7").state
    assert after.cells[5 * 7 + 3] == THEY


def test_a_full_board_without_a_line_is_a_draw():
    state = state_of(".ryr/yyry/rryy/yryr", rows=4, connect=4)
    step = GAME.step(state, "column 1")
    assert step.state.over
    assert not GAME.success(step.state)
    assert GAME.progress(step.state) == 0.5


def test_a_column_can_be_named_by_its_number():
    state = state_of("r......")
    assert GAME.read(" 4 ", state) == "column 4"
    assert GAME.read("Column  4", state) == "column 4"
    assert GAME.read("column 4 5", state) == "column 4 5"


def test_an_impossible_line_is_refused():
    with pytest.raises(ValueError, match="connect takes 3 to 3"):
        GAME.settle({"rows": 3})


def plain(cells, player, shape, depth):
    """Search without pruning: the value of each column, turns left at a forced win, negative for a loss."""
    values = {}
    for col in range(shape.cols):
        if cells[col]:
            continue
        after, line = drop(cells, col, player, shape)
        if line or not depth:
            values[col] = depth
        else:
            values[col] = -max(plain(after, YOU + THEY - player, shape, depth - 1).values(), default=0)
    return values


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 40),
    moves=st.integers(0, 8),
    depth=st.integers(0, 5),
    connect=st.integers(3, 4),
)
def test_pruning_changes_no_reply(seed, moves, depth, connect):
    knobs = replace(STANDARD, rows=4, cols=5 if depth < 4 else 4, connect=connect)
    state = GAME.start(seed, knobs)
    dice = Dice(seed, 7)
    for _ in range(moves):
        if not state.over:
            state = GAME.step(state, dice.choice(GAME.legal(state))).state
    if state.over:
        return
    values = plain(state.cells, THEY, knobs.shape, depth)
    best = max(values.values())
    expected = tuple(col for col in values if values[col] == best)
    assert replies(state.cells, knobs.shape, depth) == expected


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 40), level=st.integers(0, 3))
def test_a_game_ends_with_the_first_line(seed, level):
    state = GAME.start(seed, GAME.levels[level])
    dice = Dice(seed, 7)
    while not state.over:
        assert not has_line(state, YOU)
        assert not has_line(state, THEY)
        assert state.cells.count(0) > 1
        state = GAME.step(state, dice.choice(GAME.legal(state))).state
    assert GAME.success(state) == has_line(state, YOU)
    assert has_line(state, YOU) or has_line(state, THEY) or 0 not in state.cells


@pytest.mark.parametrize(
    ("text", "steps", "action"),
    [
        ("rrr.y..", ["(6,4) wins"], "column 4"),
        ("yyy.r.r", ["(6,4) blocks"], "column 4"),
        ("..r.r..", ["(6,4) forks"], "column 4"),
        ("r.....y", ["(6,4) worth 1", "(6,3) worth 1", "(6,5) worth 1", "(6,2) worth 1"], "column 4"),
        ("....rr./r...yyy", ["(6,4) blocks"], "column 4"),
    ],
)
def test_a_thought_sees_what_a_column_does(text, steps, action):
    state = state_of(text)
    thought = GAME.think(state)
    assert set(steps) <= GAME.facts(state)
    assert thought.action == action


def test_a_disc_under_a_win_of_the_opponent_is_given_as_such():
    state = state_of("yyy..../rry...r")
    assert "(6,4) gives a win" in GAME.facts(state)
    assert GAME.think(state).action != "column 4"


def test_the_best_has_the_highest_value():
    for seed in range(40):
        state = GAME.start(seed, GAME.levels[3])
        while not state.over:
            values = GAME.values(state)
            thought = GAME.think(state)
            assert values[thought.action] >= max(values.values()) - TOLERANCE
            state = GAME.step(state, thought.action).state
