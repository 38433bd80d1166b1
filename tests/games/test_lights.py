"""Lights Out: presses by hand, the fewest presses against a plain search, and thoughts that chase lamps."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.lights.board import press
from vlm_gym.games.lights.solver import chase, fewest, judged
from vlm_gym.games.lights.state import Lamps

from vlm_gym.registry import find

GAME = find("lights")


def state_of(text, **knobs):
    """A position drawn by hand, such as `* . / . *`: a star is a lit lamp."""
    rows = [row.split() for row in text.split("/")]
    cells = bytes(cell == "*" for row in rows for cell in row)
    settled = GAME.settle({"size": len(rows), "presses": 1, **knobs})
    return Lamps(knobs=settled, seed=1, cells=cells, first=sum(cells))


def drawn(state):
    return " / ".join(" ".join(".*"[cell != "-"] for cell in row) for row in GAME.scene(state).grid())


def slow_press(cells, size, place):
    """Switch every lamp at a distance of at most one step."""
    row, col = divmod(place, size)
    near = [abs(row - at // size) + abs(col - at % size) <= 1 for at in range(size**2)]
    return bytes(lamp ^ switched for lamp, switched in zip(cells, near, strict=True))


@pytest.mark.parametrize(
    ("action", "after"),
    [
        ("(2,2)", ". * . / * * * / . * ."),
        ("(1,1)", "* * . / * . . / . . ."),
        ("(3,2)", ". . . / . * . / * * *"),
        ("(2,3)", ". . * / . * * / . . *"),
    ],
)
def test_a_press_switches_a_lamp_and_its_neighbours_and_no_lamp_across_an_edge(action, after):
    place = GAME.actions(GAME.settle({"size": 3})).index(action)
    assert press(bytes(9), 3, place) == state_of(after).cells


def test_a_lit_lamp_goes_dark_and_a_dark_one_is_lit():
    step = GAME.step(state_of("* . . / . . . / . . ."), "(1,1)")
    assert drawn(step.state) == ". * . / * . . / . . ."
    assert step.event == "(1,1) pressed; 2 lamps are lit"


def test_the_game_is_won_when_all_lamps_are_dark():
    step = GAME.step(state_of(". * . / * * * / . * .", turns=10), "(2,2)")
    assert step.state.over
    assert GAME.success(step.state)
    assert GAME.legal(step.state) == ()
    assert (step.score, step.reward) == (5, pytest.approx(2 - 0.25 / 10))
    assert GAME.think(step.state) is None


def test_a_press_that_lights_more_lamps_scores_below_zero_and_progress_stays_at_zero():
    step = GAME.step(state_of("* . . / . . . / . . ."), "(3,3)")
    assert step.score == -3
    assert GAME.progress(step.state) == 0


@settings(deadline=None)  # a busy machine takes its time
@given(st.integers(2, 7), st.data())
def test_presses_are_those_of_a_plain_implementation_and_undo_themselves(size, data):
    cells = bytes(data.draw(st.lists(st.integers(0, 1), min_size=size**2, max_size=size**2)))
    place = data.draw(st.integers(0, size**2 - 1))
    assert press(cells, size, place) == slow_press(cells, size, place)
    assert press(press(cells, size, place), size, place) == cells


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(2, 4), (3, 9), (4, 4), (5, 3)]), st.data())
def test_no_fewer_presses_than_the_solvers_make_the_lamps_dark(board, data):
    size, most = board
    places = data.draw(st.sets(st.integers(0, size**2 - 1), min_size=1, max_size=most))
    cells = bytes(size**2)
    for place in places:
        cells = slow_press(cells, size, place)
    found = fewest(cells, size)
    for count in range(len(found)):
        for tried in combinations(range(size**2), count):
            board_after = cells
            for place in tried:
                board_after = slow_press(board_after, size, place)
            assert any(board_after)
    for place in found:
        cells = slow_press(cells, size, place)
    assert not any(cells)


def test_lamps_that_no_presses_make_dark_are_an_error():
    with pytest.raises(ValueError, match="cannot all be made dark"):
        fewest(bytes([1] + [0] * 24), 5)


def test_a_chase_leaves_lamps_in_the_last_row_alone():
    cells = state_of("* . * / . * . / . . *").cells
    presses, left = chase(cells, 3, [0])
    for row, cols in enumerate(presses):
        for col in cols:
            cells = slow_press(cells, 3, row * 3 + col)
    assert presses[0] == [0]
    assert not any(cells[:6])
    assert [col for col in range(3) if cells[6 + col]] == left


@pytest.mark.parametrize("level", range(5))
def test_a_press_is_judged_by_how_many_are_needed_after_it(level):
    state = GAME.start(3, GAME.levels[level])
    size = state.knobs.size
    needed = len(fewest(state.cells, size))
    for place, judgement in enumerate(judged(state.cells, size)):
        after = len(fewest(slow_press(state.cells, size, place), size))
        assert judgement == {needed - 1: 1.0, needed: 0.5, needed + 1: 0.0}[after]


def test_a_thought_presses_the_first_row_before_it_chases():
    thought = GAME.think(state_of(". * . / * * * / . * ."))
    assert thought.steps == (
        "row 2 presses 2",
        "row 3 presses none",
        "left over none",
        "first row needs none",
    )
    assert thought.action == "(2,2)"
    thought = GAME.think(state_of("* * . / * . . / . . ."))
    assert thought.steps[-1] == "first row needs 1"
    assert thought.action == "(1,1)"


@pytest.mark.parametrize("level", range(5))
def test_the_thoughts_win_in_the_fewest_presses(level):
    knobs = GAME.levels[level]
    for seed in range(8):
        state = GAME.start(seed, knobs)
        needed = len(fewest(state.cells, knobs.size))
        assert 0 < needed <= knobs.presses
        for _ in range(needed):
            state = GAME.step(state, GAME.think(state).action).state
        assert GAME.success(state)


def test_every_press_is_legal_and_the_steps_of_the_thought_are_the_facts():
    state = state_of("* * . / * . . / . . .")
    assert GAME.legal(state) == GAME.actions(state.knobs)
    assert GAME.facts(state) == {*GAME.think(state).steps}


def test_steps_without_the_first_row_conclude_nothing():
    assert GAME.conclude(["row 2 presses 1 3", "left over none"]) is None
    assert GAME.conclude(["row 2 presses none", "first row needs none"]) is None
    assert GAME.conclude(["why", "", "first row needs"]) is None


def test_an_action_is_read_with_any_spaces():
    state = state_of("* . / . *")
    assert GAME.read(" ( 1, 2 ) ", state) == "(1,2)"
    assert GAME.allows(state, GAME.read("(2,1)", state))
    assert not GAME.allows(state, GAME.read("(3,1)", state))
    assert GAME.read("corner", state) == "corner"


def test_more_presses_than_cells_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"presses=10 .* 1 to 9"):
        GAME.settle({"size": 3, "presses": 10})
    with pytest.raises(ValueError, match="size"):
        GAME.settle({"size": 8})
