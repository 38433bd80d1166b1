"""Tetris: placements by a second, plain implementation that drops blocks row by row, and hand-made fields."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.tetris.board import DRAWINGS, KINDS, Field, placements, put, turns
from vlm_gym.games.tetris.solver import cost

from vlm_gym.dice import Dice
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import PLAYERS, play_baseline

GAME = find("tetris")


def state_of(text, piece, **changes):
    """Return a position drawn by hand, # for a block; the rows above the drawing are empty."""
    rows = text.split("/")
    width = len(rows[0])
    knobs = replace(GAME.levels[0], width=width, **changes)
    rows = ["." * width] * (knobs.height - len(rows)) + rows
    cells = bytes(dot == "#" for row in rows for dot in row)
    return replace(GAME.start(1, knobs), cells=cells, piece=piece)


def dropped(field, kind, turned, col):
    """Drop a piece row by row; return the blocks where it stops, as (row from the top, column)."""
    blocks = [(field.height - 1 - row, col + at) for row, at in turns(kind)[turned].blocks]
    height = turns(kind)[turned].height
    blocks = [(row - field.height, at) for row, at in blocks]  # wholly above the field
    while all(
        row + 1 < field.height and (row + 1 < 0 or not field.cells[(row + 1) * field.width + at])
        for row, at in blocks
    ):
        blocks = [(row + 1, at) for row, at in blocks]
    assert height <= 4
    return blocks


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 40), level=st.integers(0, 4), moves=st.integers(0, 12))
def test_placements_are_those_of_a_falling_piece(seed, level, moves):
    state = GAME.start(seed, GAME.levels[level])
    dice = Dice(seed, 5)
    for _ in range(moves):
        if not state.over:
            state = GAME.step(state, dice.choice(GAME.legal(state))).state
    field = state.field
    found = {} if state.over else placements(field, state.piece)
    for col in range(field.width):
        for turned, piece in enumerate(turns(state.piece)):
            if state.over or col + len(piece.bottoms) > field.width:
                continue
            blocks = dropped(field, state.piece, turned, col)
            name = f"column {col + 1} turned {turned}"
            assert (name in found) == all(row >= 0 for row, _ in blocks)
            if name in found:
                after, cleared = put(field, state.piece, found[name])
                cells = bytearray(field.cells)
                for row, at in blocks:
                    cells[row * field.width + at] = 1
                rows = [cells[at : at + field.width] for at in range(0, len(cells), field.width)]
                full = [row for row in rows if all(row)]
                assert cleared == len(full)
                assert after.cells.count(1) == cells.count(1) - cleared * field.width


@pytest.mark.parametrize(("kind", "count"), zip(KINDS, (1, 2, 4, 4, 4, 2, 2), strict=True))
def test_a_piece_has_four_blocks_and_so_many_turns(kind, count):
    assert len(turns(kind)) == count
    assert all(len(turned.blocks) == 4 for turned in turns(kind))
    assert sum(line.count("#") for line in DRAWINGS[kind]) == 4


def test_a_turn_goes_to_the_right():
    # The long side of an L, turned once, stands; its foot points right at the bottom.
    assert set(turns("L")[1].blocks) == {(0, 0), (1, 0), (2, 0), (0, 1)}


def test_full_rows_are_cleared_and_all_above_sinks():
    step = GAME.step(state_of("#.../.###/.###", "I", lines=3), "column 1 turned 0")
    assert step.score == 1
    assert step.state.cells[-12:] == b"\1\0\0\0" + b"\0\1\1\1" * 2
    step = GAME.step(state_of("...#/.###/.###", "L", lines=3), "column 1 turned 1")
    assert step.score == 0  # the foot rests on row 2
    step = GAME.step(state_of("..##/.###/.###", "I", lines=3), "column 1 turned 1")
    assert step.score == 2
    assert step.state.cells[-4:] == b"\1\0\1\1"
    assert not step.state.over


def test_the_goal_ends_the_game():
    step = GAME.step(state_of(".###/.###", "I", lines=2), "column 1 turned 1")
    assert step.state.over
    assert GAME.success(step.state)
    assert GAME.progress(step.state) == 1


def test_a_piece_that_fits_nowhere_loses_the_game():
    state = state_of("/".join(["...#", *["#.##", "##.#"] * 3]), "O")
    state = replace(state, ahead=("O",))
    step = GAME.step(state, "column 1 turned 0")
    assert step.state.over
    assert not GAME.success(step.state)
    assert GAME.legal(step.state) == ()


def test_a_placement_outside_is_illegal():
    with pytest.raises(ValueError, match="column 1 turned 0"):
        GAME.step(state_of("....", "I"), "column 2 turned 0")


def test_turns_may_be_left_out():
    state = GAME.start(1, GAME.levels[0])
    assert GAME.read("Column 2", state) == "column 2 turned 0"
    assert GAME.read("column 2  turned 1", state) == "column 2 turned 1"
    assert GAME.read("turned 1", state) == "turned 1"


def test_garbage_leaves_room():
    with pytest.raises(ValueError, match="garbage takes whole numbers 1 to 2"):
        GAME.settle({"height": 6, "garbage": 3})


def test_costs_count_holes_steps_and_height():
    field = Field(bytes(4 * 4) + b"\1\0\0\0", 4, 5)
    found = placements(field, "O")
    # On columns 1 and 2: one hole, base 1, surface 3 3 0: a step of 3.
    assert cost(field.heights(), "O", found["column 1 turned 0"]) == 4 + 3 + 1
    # On columns 2 and 3: no hole, base 0, surface 1 2 2 0: steps of 1 and 2.
    assert cost(field.heights(), "O", found["column 2 turned 0"]) == 3


def test_a_thought_reads_heights_and_ends_at_the_goal():
    thought = GAME.think(state_of("..../.###/.###", "I", lines=2))
    assert thought.steps == ("heights 0 2 2 2", "column 1 turned 1 reaches the goal")
    assert thought.action == "column 1 turned 1"
    thought = GAME.think(state_of("..##", "O", lines=2))
    assert thought.steps == ("heights 0 0 1 1", "column 1 turned 0 costs 1", "column 1 turned 0 is best")


@pytest.mark.slow
def test_middling_success_falls_from_level_to_level():
    won = []
    for knobs in GAME.levels:
        outcomes = [play_baseline(GAME, knobs, seed, PLAYERS["middling"]) for seed in range(150)]
        won.append(sum(outcome.success for outcome in outcomes))
    assert all(easier > harder for easier, harder in pairwise(won))
