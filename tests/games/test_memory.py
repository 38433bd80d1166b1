"""Concentration: turning, covering and taking cards by hand, and thoughts that use what was shown alone."""

from dataclasses import replace

import pytest

from vlm_gym.dice import Dice
from vlm_gym.registry import find

GAME = find("memory")
KNOBS = GAME.settle({"rows": 2, "cols": 3, "kinds": 3, "shown": 2, "turns": 20})


def table(cards="123123"):
    """Deal cards by hand, a digit for each kind."""
    return replace(GAME.start(1, KNOBS), cells=bytes(map(int, cards)))


def after(state, *actions):
    for action in actions:
        state = GAME.step(state, action).state
    return state


def test_equal_cards_are_taken_as_soon_as_both_lie_open():
    state = after(table(), "(1,1)", "(2,1)")
    assert GAME.scene(state).grid() == [["-", "hidden", "hidden"], ["-", "hidden", "hidden"]]
    assert state.score == 1
    assert GAME.progress(state) == pytest.approx(1 / 3)
    assert "(1,1)" not in GAME.legal(state)


def test_two_different_cards_stay_open_until_the_next_turn_covers_them():
    state = after(table(), "(1,1)", "(1,2)")
    assert GAME.scene(state).grid()[0] == ["red circle", "blue square", "hidden"]
    assert GAME.legal(state) == ("(1,3)", "(2,1)", "(2,2)", "(2,3)")
    state = after(state, "(2,1)")
    assert GAME.scene(state).grid() == [["hidden"] * 3, ["red circle", "hidden", "hidden"]]


def test_taking_all_cards_wins():
    state = after(table(), "(1,1)", "(2,1)", "(1,2)", "(2,2)", "(1,3)", "(2,3)")
    assert state.over
    assert GAME.success(state)
    assert GAME.legal(state) == ()


def test_a_thought_remembers_a_card_that_is_covered_again():
    state = after(table(), "(1,1)", "(1,2)", "(2,1)")
    thought = GAME.think(state)
    assert thought.steps == ("red circle is open at (2,1)", "red circle was at (1,1)")
    assert thought.action == "(1,1)"


def test_a_thought_goes_for_a_pair_that_was_seen_and_else_for_a_new_card():
    assert GAME.think(table()).steps == ("no pair was seen", "(1,1) is new")
    state = after(table("112323"), "(1,1)", "(1,3)", "(2,1)", "(1,2)", "(2,2)", "(2,3)")
    state = replace(state, open=())
    assert GAME.think(state).steps[:2] == ("red circle was at (1,1)", "red circle was at (1,2)")
    assert GAME.think(state).action == "(1,1)"


def test_imagined_tables_keep_what_was_shown_and_the_kinds():
    state = after(table(), "(1,1)", "(1,2)", "(2,3)")
    others = [GAME.imagine(state, Dice(number)) for number in range(50)]
    for other in others:
        assert sorted(other.cells) == sorted(state.cells)
        assert [other.cells[place] for place in (0, 1, 5)] == [1, 2, 3]
    assert len({other.cells for other in others}) == 6


def test_imagined_tables_may_hold_other_kinds_than_those_never_shown():
    state = after(table(), "(1,1)")
    others = [GAME.imagine(state, Dice(number)) for number in range(50)]
    assert {other.cells[0] for other in others} == {1}
    assert len({kind for other in others for kind in other.cells}) > 10
    for other in others:
        assert sorted(map(other.cells.count, set(other.cells))) == [2, 2, 2]
        assert GAME.scene(other) == GAME.scene(state)


def test_past_pictures_matter():
    assert GAME.memory


def test_odd_tables_and_too_many_kinds_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="make rows or cols even"):
        GAME.settle({"rows": 3, "cols": 3, "kinds": 2})
    with pytest.raises(ValueError, match=r"kinds=7 .* 2 to 6"):
        GAME.settle({"rows": 3, "cols": 4, "kinds": 7})


def test_open_cards_are_named_in_reading_order_whichever_was_turned_first():
    state = GAME.start(5, GAME.levels[0])
    last, first = GAME.legal(state)[::-1][:2]
    for action in (last, first):
        state = GAME.step(state, action).state
    assert len(state.open) == 2
    cells = [step.split(" at ")[1] for step in GAME.think(state).steps if " is open at " in step]
    assert cells == sorted(cells)
