"""Swap: the rules by hand and against a second implementation by definition, solver, levels."""

import re
from itertools import groupby, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.dice import Dice, mix
from vlm_gym.registry import find

GAME = find("swap")
PAPER = GAME.settle("paper")
Grid = list[list[str]]

SETS = (
    {"rows": 3, "cols": 3, "shapes": 1},
    {"rows": 4, "cols": 4, "shapes": 1},
    {"rows": 6, "cols": 5},
    {"colors": 3, "shapes": 3},
    {"shapes": 3},
)
PILES = ({"rows": 4, "cols": 4, "shapes": 1, "target": 9}, {"rows": 6, "cols": 6, "colors": 3, "target": 24})


def knobs_of(**wanted):
    return GAME.settle({"target": 0, "reward": "progress", **wanted})


def state_of(text, knobs=None, **changes):
    """A position drawn by hand, such as `a b / c .`: letters are kinds, `.` is an empty cell."""
    rows = [row.split() for row in text.split("/")]
    cells = bytes(0 if cell == "." else ord(cell) - 96 for row in rows for cell in row)
    knobs = knobs or knobs_of(rows=len(rows), cols=len(rows[0]), shapes=2)
    return type(GAME.start(0, PAPER))(**{"knobs": knobs, "seed": 1, "cells": cells, **changes})


def grid(state) -> Grid:
    return GAME.scene(state).grid()


def slow_lines(board: Grid) -> set[tuple[int, int]]:
    """All cells of horizontal or vertical runs of three or more equal tiles, by definition."""
    rows, cols = len(board), len(board[0])
    found = set()
    across = [[(row, col) for col in range(cols)] for row in range(rows)]
    down = [[(row, col) for row in range(rows)] for col in range(cols)]
    for line in across + down:
        for tile, run in groupby(line, key=lambda cell: board[cell[0]][cell[1]]):
            cells = list(run)
            if tile != "-" and len(cells) >= 3:
                found.update(cells)
    return found


def cells_of(action):
    numbers = [int(number) - 1 for number in re.findall(r"\d+", action)]
    return (numbers[0], numbers[1]), (numbers[2], numbers[3])


def slow_swap(board: Grid, action: str) -> Grid:
    (row, col), (other_row, other_col) = cells_of(action)
    board = [list(line) for line in board]
    board[row][col], board[other_row][other_col] = board[other_row][other_col], board[row][col]
    return board


def slow_legal(board: Grid, actions) -> tuple[str, ...]:
    return tuple(
        action
        for action in actions
        if all(board[row][col] != "-" for row, col in cells_of(action))
        and slow_lines(slow_swap(board, action))
    )


def slow_fall(board: Grid) -> tuple[Grid, int]:
    """Clear and drop once, without refill."""
    gone = slow_lines(board)
    rows, cols = len(board), len(board[0])
    fallen = [["-"] * cols for _ in range(rows)]
    for col in range(cols):
        kept = [board[row][col] for row in range(rows) if (row, col) not in gone and board[row][col] != "-"]
        for up, tile in enumerate(reversed(kept)):
            fallen[rows - 1 - up][col] = tile
    return fallen, len(gone)


def walk(state, count, seed=0):
    """Some positions of a random legal walk."""
    for turn in range(count):
        yield state
        if state.over:
            return
        state = GAME.step(state, Dice(seed, turn).choice(GAME.legal(state))).state


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SETS + PILES), st.integers(0, 2**63 - 1))
def test_legal_swaps_are_those_that_make_a_line(wanted, seed):
    refill = "none" if wanted in PILES else "endless"
    for state in walk(GAME.start(seed, knobs_of(refill=refill, **wanted)), 6, seed):
        board, actions = grid(state), GAME.actions(state.knobs)
        assert not slow_lines(board)
        assert GAME.legal(state) == (() if state.over else slow_legal(board, actions))
        assert state.over == (not slow_legal(board, actions))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PILES), st.integers(0, 2**63 - 1))
def test_piles_clear_and_fall_as_by_definition(wanted, seed):
    for state in walk(GAME.start(seed, knobs_of(refill="none", **wanted)), 8, seed):
        for action in GAME.legal(state):
            step = GAME.step(state, action)
            board, score, lined = slow_swap(grid(state), action), 0, 0
            while slow_lines(board):
                board, gone = slow_fall(board)
                lined, score = lined or gone, score + gone
            assert grid(step.state) == board
            assert step.score == score == step.state.score - state.score
            assert step.reward == (1.0 if GAME.success(step.state) else min(1, lined / 10))
            assert GAME.success(step.state) == (not any(tile != "-" for row in board for tile in row))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SETS), st.integers(0, 2**63 - 1))
def test_refilled_boards_keep_what_did_not_vanish(wanted, seed):
    state = GAME.start(seed, knobs_of(**wanted))
    assert "-" not in GAME.scene(state).describe()
    for action in GAME.legal(state):
        step = GAME.step(state, action)
        assert step == GAME.step(state, action)
        assert state == GAME.start(seed, state.knobs)
        board, gone = slow_fall(slow_swap(grid(state), action))
        assert step.score >= gone
        assert step.reward == min(1, gone / 10)
        if step.score == gone and "shuffled" not in step.event:
            after = grid(step.state)
            assert all(
                tile == new
                for line, new_line in zip(board, after, strict=True)
                for tile, new in zip(line, new_line, strict=True)
                if tile != "-"
            )
        assert "-" not in GAME.scene(step.state).describe()
        assert not slow_lines(grid(step.state))
        assert GAME.legal(step.state)


def test_actions_are_all_pairs_of_neighbours_in_reading_order():
    actions = GAME.actions(PAPER)
    assert len(actions) == len(set(actions)) == 112
    assert actions[:4] == ("(1,1) (1,2)", "(1,1) (2,1)", "(1,2) (1,3)", "(1,2) (2,2)")
    assert list(actions) == sorted(actions, key=cells_of)
    for action in actions:
        (row, col), (other_row, other_col) = cells_of(action)
        assert (other_row - row, other_col - col) in ((0, 1), (1, 0))


PILE = knobs_of(rows=4, cols=4, refill="none", shapes=2, target=6)


def test_a_pile_falls_and_ends_when_it_is_stuck():
    state = state_of(". . . . / . e . . / a a b . / b b a d", knobs_of(**{**vars(PILE), "target": 9}))
    step = GAME.step(state, "(3,3) (4,3)")
    dee, ee = grid(state)[3][3], grid(state)[1][1]
    assert grid(step.state) == [["-"] * 4] * 3 + [["-", ee, "-", dee]]
    assert step.score == 6
    assert step.state.over
    assert GAME.legal(step.state) == ()
    assert not GAME.success(step.state)
    won = GAME.step(state_of(". . . . / . . . . / a a b . / b b a .", PILE), "(3,3) (4,3)")
    assert won.state.over
    assert GAME.success(won.state)
    assert won.reward == 1.0


def test_a_cascade_scores_but_earns_no_reward():
    knobs = knobs_of(rows=5, cols=5, refill="none", shapes=2, target=12)
    # Four a go, and the b on top of them falls beside the other two.
    state = state_of("b . . . . / a . . . . / a . . . . / c a . . . / a b b e d", knobs)
    step = GAME.step(state, "(4,1) (4,2)")
    assert step.score == 7
    assert step.reward == 0.4
    assert "cleared 7 tiles" in step.event


def test_five_in_a_corner_go_together():
    state = state_of("a a b a / c d a c / d c a d / e f g h")
    assert GAME.step(state, "(1,3) (1,4)").reward == 0.5


def test_empty_cells_and_equal_tiles_cannot_be_swapped():
    state = state_of(". . . . / . . . . / a . . . / b a a .", PILE)
    assert GAME.legal(state) == ("(3,1) (4,1)",)
    # The a could fall into line from (3,1) if it traded places with the empty cell (3,2).
    state = state_of(". . . . / . . . . / a . . . / b . a a", PILE)
    assert GAME.legal(state) == ()
    for action in ("(3,1) (3,2)", "(4,3) (4,4)", "(1,1) (9,9)", "left"):
        with pytest.raises(ValueError, match=re.escape(repr(action))):
            GAME.step(state, action)


def test_a_board_without_swaps_is_shuffled():
    knobs, shuffles = knobs_of(rows=4, cols=4, colors=4, shapes=3), 0
    for seed in range(40):
        state = GAME.start(seed, knobs)
        for _ in range(10):
            step = GAME.step(state, GAME.legal(state)[0])
            assert not step.state.over
            shuffles += "shuffled" in step.event
            state = step.state
    assert shuffles > 20


def test_levels_end_at_the_target():
    knobs = knobs_of(target=6)
    state = GAME.start(3, knobs)
    while not state.over:
        assert not GAME.success(state)
        step = GAME.step(state, GAME.legal(state)[0])
        state = step.state
    assert GAME.success(state)
    assert state.score >= 6
    assert step.reward == 1.0
    assert GAME.solve(state) is None


def test_paper_counts_swaps_and_never_ends():
    state = GAME.start(7, PAPER)
    for turn in range(30):
        step = GAME.step(state, GAME.legal(state)[-1])
        assert (step.reward, step.score, step.state.score) == (1.0, 1, turn + 1)
        state = step.state
    assert not GAME.success(state)
    kinds = {cell for row in grid(GAME.start(1, PAPER)) for cell in row}
    wanted = product(("red", "blue", "green", "yellow"), ("circle", "square", "triangle"))
    assert kinds <= {f"{color} {shape}" for color, shape in wanted}


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ("(1,2) (1,1)", "(1,1) (1,2)"),
        (" ( 2 , 1 )( 1,1 ) ", "(1,1) (2,1)"),
        ("(1,1) (2,1)", "(1,1) (2,1)"),
        ("(2,10) (2,9)", "(2,9) (2,10)"),
        ("1,2 1,1", "1,2 1,1"),
        ("(1,1) (1,2) (1,3)", "(1,1) (1,2) (1,3)"),
        ("(01,1) (1,2)", "(01,1) (1,2)"),
        ("(１,1) (1,2)", "(１,1) (1,2)"),
    ],
)
def test_answers_name_two_cells_in_either_order(words, action):
    assert GAME.read(words, GAME.start(0, PAPER)) == action


@pytest.mark.parametrize(
    "wanted",
    [
        {"colors": 1, "shapes": 3},
        {"rows": 4, "cols": 4, "colors": 6, "shapes": 3},
        {"refill": "none", "target": 20},
        {"refill": "none", "target": 45},
        {"refill": "none", "target": 0},
        {"refill": "none", "target": 9, "count": "swaps"},
    ],
)
def test_boards_that_cannot_be_dealt_are_refused(wanted):
    with pytest.raises(ValueError, match=r"possible|pile"):
        GAME.settle(wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        {"rows": 3, "cols": 3, "colors": 3, "shapes": 3},
        {"rows": 3, "cols": 3, "refill": "none", "target": 6, "colors": 6, "shapes": 1},
        {"rows": 3, "cols": 10, "refill": "none", "target": 18, "colors": 4, "shapes": 1},
        {"rows": 10, "cols": 3, "refill": "none", "target": 18, "colors": 6, "shapes": 5},
        {"rows": 4, "cols": 4, "colors": 4, "shapes": 4},
        {"rows": 10, "cols": 10, "colors": 4, "shapes": 1},
        {"rows": 4, "cols": 10, "refill": "none", "target": 24, "colors": 4, "shapes": 1},
        {"rows": 10, "cols": 4, "refill": "none", "target": 24, "colors": 6, "shapes": 6},
        {"rows": 10, "cols": 10, "refill": "none", "target": 66},
        {"rows": 4, "cols": 4, "refill": "none", "target": 9, "shapes": 4},
    ],
)
def test_the_corners_of_the_knobs_can_be_dealt(wanted):
    knobs = knobs_of(**wanted)
    for seed in range(20):
        state = GAME.start(seed, knobs)
        assert not slow_lines(grid(state))
        assert GAME.legal(state)
        tiles = sum(cell != "-" for row in grid(state) for cell in row)
        assert tiles == (knobs.target or knobs.rows * knobs.cols)


@pytest.mark.parametrize("level", [3, 4])
def test_every_dealt_pile_can_be_cleared(level):
    for seed in range(25):
        assert max(GAME.values(GAME.start(mix(seed) >> 1, GAME.levels[level])).values()) == 1.0


def can_clear(board: Grid, actions) -> bool:
    if not any(tile != "-" for row in board for tile in row):
        return True
    for action in slow_legal(board, actions):
        after = slow_swap(board, action)
        while slow_lines(after):
            after, _ = slow_fall(after)
        if can_clear(after, actions):
            return True
    return False


def test_a_value_of_1_says_that_the_pile_can_be_cleared():
    knobs, seen = knobs_of(rows=5, cols=5, colors=4, shapes=1, refill="none", target=12), set()
    for seed in range(30):
        state = GAME.start(seed, knobs)
        for action, value in GAME.values(state).items():
            after = grid(GAME.step(state, action).state)
            assert (value == 1.0) == can_clear(after, GAME.actions(knobs))
            seen.add(value == 1.0)
    assert seen == {True, False}


def test_the_solver_does_not_peek_at_tiles_to_come():
    state = GAME.start(5, PAPER)
    values = [GAME.values(type(state)(**{**vars(state), "seed": seed})) for seed in range(5)]
    assert all(other == values[0] for other in values)


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4, "paper"])
def test_values_are_of_the_legal_swaps_and_in_range(level):
    for seed in range(12):
        for state in walk(GAME.start(seed, GAME.settle(level)), 4, seed):
            values = GAME.values(state)
            assert set(values) == set(GAME.legal(state))
            assert all(0 <= value <= 1 for value in values.values())
