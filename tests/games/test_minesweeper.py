"""Minesweeper: rules by hand, what numbers prove against all layouts counted plainly, and fair redraws."""

from collections import Counter
from itertools import combinations

import pytest
from vlm_gym.games.minesweeper.board import HIDDEN, around, opened
from vlm_gym.games.minesweeper.solver import full, redrawn, risks, safe
from vlm_gym.games.minesweeper.state import Field

from vlm_gym.dice import Dice
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import legal

GAME = find("minesweeper")


def state_of(text, mines=()):
    """A position drawn by hand, such as `1 ? / . ?`: a dot is open and empty, `?` is hidden."""
    rows = [row.split() for row in text.split("/")]
    shown = bytes(
        {"?": HIDDEN, ".": 0}.get(cell) or int(cell.replace(".", "0")) for row in rows for cell in row
    )
    knobs = GAME.settle({"size": len(rows), "mines": max(1, len(mines))})
    return Field(knobs=knobs, seed=1, mines=mines, shown=shown, first=0)


def layouts(shown, size, mines):
    """List all layouts that fit, by trying all of them."""
    hidden = [place for place, number in enumerate(shown) if number == HIDDEN]
    return [
        set(layout)
        for layout in combinations(hidden, mines)
        if all(
            number == HIDDEN or sum(near in layout for near in around(size)[place]) == number
            for place, number in enumerate(shown)
        )
    ]


def positions(level, deals=10):
    """Play deals at random, mines left out; yield the state before each turn."""
    for seed in range(deals):
        state = GAME.start(seed, GAME.levels[level])
        for turn in range(5):
            yield state
            action = legal(GAME, state, Dice(seed, turn))
            after = GAME.step(state, action).state
            if not after.over:
                state = after


def test_an_empty_cell_opens_its_neighbours_and_a_number_opens_alone():
    hidden = bytes([HIDDEN]) * 16
    mines = frozenset({3})
    assert opened(hidden, mines, 4, 12) == bytes([0, 0, 1, HIDDEN, 0, 0, 1, 1, *[0] * 8])
    assert opened(hidden, mines, 4, 2) == bytes([HIDDEN, HIDDEN, 1, *[HIDDEN] * 13])


def test_opening_a_mine_loses_and_shows_it():
    state = state_of(". . 1 ? / . . 1 ? / . . 1 1 / . . . .", (3,))
    step = GAME.step(state, "(1,4)")
    assert step.state.over
    assert not GAME.success(step.state)
    assert step.score == 0
    assert GAME.scene(step.state).grid()[0] == ["-", "-", "1", "mine"]


def test_opening_the_last_safe_cell_wins():
    step = GAME.step(state_of(". . 1 ? / . . 1 ? / . . 1 1 / . . . .", (3,)), "(2,4)")
    assert step.state.over
    assert GAME.success(step.state)
    assert GAME.legal(step.state) == ()


def test_an_open_cell_cannot_be_opened_again():
    state = state_of(". . 1 ? / . . 1 ? / . . 1 1 / . . . .", (3,))
    assert GAME.legal(state) == ("(1,4)", "(2,4)")
    with pytest.raises(ValueError, match="not legal"):
        GAME.step(state, "(1,1)")


def test_a_thought_names_the_mine_and_then_the_safe_cell():
    thought = GAME.think(state_of("? ? ? ? / ? 1 2 2 / ? 1 . . / ? 1 . .", (2, 3, 4)))
    assert thought.steps == ("(2,4) makes (1,3) a mine", "(2,2) has its 1, (1,1) is safe")
    assert thought.action == "(1,1)"


@pytest.mark.parametrize("level", [0, 1])
def test_proofs_and_risks_agree_with_all_layouts(level):
    for state in positions(level):
        size, mines = state.knobs.size, state.knobs.mines
        every = layouts(state.shown, size, mines)
        assert all(mine in layout for layout in every for mine in full(state.shown, size))
        assert not any(proof.safe in layout for layout in every for proof in safe(state.shown, size))
        for cell, risk in risks(state.shown, size, mines).items():
            assert risk == pytest.approx(sum(cell in layout for layout in every) / len(every))


def test_every_layout_that_fits_is_drawn_equally_often():
    state = GAME.start(3, GAME.levels[0])
    every = layouts(state.shown, 5, 3)
    dice = Dice(5)
    drawn = Counter(redrawn(state.shown, 5, 3, dice) for _ in range(300 * len(every)))
    assert set(drawn) == {frozenset(layout) for layout in every}
    assert all(200 < count < 400 for count in drawn.values())


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_deals_of_levels_0_to_3_are_won_without_a_guess(level):
    for seed in range(15):
        state = GAME.start(seed, GAME.levels[level])
        while not state.over:
            thought = GAME.think(state)
            assert thought.value == 1.0
            assert "risk" not in thought.words
            state = GAME.step(state, thought.action).state
        assert GAME.success(state)


def test_where_nothing_is_certain_the_lowest_risk_is_taken():
    assert GAME.conclude(["the lowest risk is 25 at (2,2)"]) == "(2,2)"
    assert GAME.conclude(["(1,1) makes (1,2) a mine"]) is None
    assert GAME.conclude(["why", ""]) is None


def test_too_many_mines_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"mines=7 .* 1 to 6"):
        GAME.settle({"size": 5, "mines": 7})
