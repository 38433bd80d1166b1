"""Shisen-Sho: the rules by hand, paths and the solver against slow searches, deals, levels."""

import pickle
from collections import Counter
from functools import cache
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.shisen_sho.paths import links, take, ways
from vlm_gym.games.shisen_sho.solver import can_clear

from vlm_gym.dice import Dice
from vlm_gym.episode import deal
from vlm_gym.game import Board
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import greedy, legal, middling, play_baseline, random, solver

GAME = find("shisen_sho")
PAPER = GAME.settle("paper")


def board_of(text):
    """A board drawn by hand, `A B / . A`: a letter is a kind, a dot an empty cell."""
    rows = [row.split() for row in text.split("/")]
    return bytes(0 if cell == "." else ord(cell) - 64 for row in rows for cell in row), len(rows[0])


def state_of(text, **knobs):
    board, cols = board_of(text)
    settled = GAME.settle(
        {"rows": len(board) // cols, "cols": cols, "kinds": 2, "reward": "progress", **knobs}
    )
    return Board(knobs=settled, seed=1, cells=board)


def slow_turns(board, cols, start, goal):
    """The fewest turns from tile to tile: search over (cell, direction) on the board with its ring."""
    rows = len(board) // cols
    free = {(r, c) for r in range(rows + 2) for c in range(cols + 2)}
    free -= {(cell // cols + 1, cell % cols + 1) for cell, kind in enumerate(board) if kind}
    start, goal = ((cell // cols + 1, cell % cols + 1) for cell in (start, goal))
    reached = {(start, step) for step in ((0, 1), (1, 0), (0, -1), (-1, 0))}
    seen = set(reached)
    for turns in range(20):
        ahead = list(reached)
        while ahead:
            (row, col), (down, right) = ahead.pop()
            place = (row + down, col + right)
            if place == goal:
                return turns
            if place in free and (place, (down, right)) not in seen:
                seen.add((place, (down, right)))
                reached.add((place, (down, right)))
                ahead.append((place, (down, right)))
        reached = {
            (place, (turn * right, turn * down))
            for place, (down, right) in reached
            for turn in (1, -1)
            if place != start and (place, (turn * right, turn * down)) not in seen
        }
        seen |= reached
    return 99


@cache
def slow_clear(board, cols, bends):
    return not any(board) or any(
        slow_clear(take(board, [link]), cols, bends) for link in links(board, cols, bends)
    )


@st.composite
def boards(draw, smallest=1, largest=6, tiles=36):
    """Any board, reachable or not, with few kinds."""
    rows, cols = (draw(st.integers(smallest, largest)) for _ in range(2))
    cells = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 3]), min_size=rows * cols, max_size=rows * cols))
    for cell in range(len(cells)):
        cells[cell] *= sum(map(bool, cells[:cell])) < tiles
    return bytes(cells), cols


@pytest.mark.parametrize(
    ("text", "action", "turns"),
    [
        ("A A / B B", "(1,1) (1,2)", 0),
        ("A . . A / B . . B", "(1,1) (1,4)", 0),
        ("A . / . . / A .", "(1,1) (3,1)", 0),
        ("A . / B A", "(1,1) (2,2)", 1),
        ("A B . / . . A", "(1,1) (2,3)", 1),
        ("A B / . B / . A", "(1,1) (3,2)", 1),
        ("A B A / B . B", "(1,1) (1,3)", 2),  # over the top, one cell outside
        ("B B / A B / B B / A B", "(2,1) (4,1)", 2),  # around the left side
        ("B B B B / A . . A", "(2,1) (2,4)", 0),
        ("A B . . / C . . B / B . . A", "(1,1) (3,4)", 3),  # up, right, down, right
        ("B B B B / B A B B / B B A B / B B B B", "(2,2) (3,3)", 99),
        ("A B / B A", "(1,1) (2,2)", 3),  # nothing but the ring, and that takes three turns
    ],
)
@pytest.mark.parametrize("bends", [1, 2])
def test_a_pair_can_be_taken_if_its_path_turns_no_more_than_allowed(text, action, turns, bends):
    assert (action in GAME.legal(state_of(text, bends=bends))) == (turns <= bends)


@settings(deadline=None, max_examples=300)
@given(boards(), st.integers(0, 2))
def test_links_are_what_a_search_over_cell_direction_and_turns_finds(drawn, bends):
    board, cols = drawn
    cells = [(a, b) for b in range(len(board)) for a in range(b) if board[a] and board[a] == board[b]]
    slow = {(a, b): slow_turns(board, cols, a, b) for a, b in sorted(cells)}
    found = links(board, cols, bends)
    assert [link[:3] for link in found] == [(*pair, turns) for pair, turns in slow.items() if turns <= bends]
    for link in found:
        check_path(board, cols, link)


def check_path(board, cols, link):
    """Walk the path along the first line of `ways`: it turns as often as it should, over free cells alone."""
    one, other = [(cell // cols + 1, cell % cols + 1) for cell in link[:2]]
    way, number = ways(link, cols, link.turns)[0].split()
    place = int(number)
    corners = [(place, one[1]), (place, other[1])] if way == "row" else [(one[0], place), (other[0], place)]
    stops = [one, *(corner for corner in corners if corner not in (one, other)), other]
    assert len(stops) == 2 + link.turns
    walked = []
    for (row, col), (row_b, col_b) in pairwise(stops):
        assert (row == row_b) != (col == col_b)
        down, right = (row_b > row) - (row_b < row), (col_b > col) - (col_b < col)
        steps = abs(row_b - row) + abs(col_b - col)
        walked += [(row + down * step, col + right * step) for step in range(1, steps + 1)]
    rows = len(board) // cols
    for row, col in walked[:-1]:
        outside = row in (0, rows + 1) or col in (0, cols + 1)
        assert outside or not board[(row - 1) * cols + col - 1]


def test_lines_of_paths_are_named_straightest_and_shortest_first():
    board, cols = board_of("A B A B / . . . . / B B B B")
    link = next(link for link in links(board, cols, 2) if link[:2] == (0, 2))
    # The ring above is as near as the row below.
    assert ways(link, cols, 2) == ["row 0", "row 2"]
    assert ways(link, cols, 1) == []


def test_actions_are_all_pairs_of_cells_in_reading_order():
    actions = GAME.actions(PAPER)
    assert len(actions) == 36 * 35 // 2
    assert actions[:2] == ("(1,1) (1,2)", "(1,1) (1,3)")
    assert actions[-1] == "(6,5) (6,6)"
    state = GAME.start(3, PAPER)
    assert list(GAME.legal(state)) == [action for action in actions if action in set(GAME.legal(state))]


@pytest.mark.parametrize(
    "words", ["(3,4) (1,2)", "(1,2)(3,4)", "  ( 1 , 2 )\n( 3,4 ) ", "(1,2) (3,4)", "(3,4)(1,2)"]
)
def test_cells_are_read_in_either_order_and_any_spacing(words):
    assert GAME.read(words, GAME.start(3, PAPER)) == "(1,2) (3,4)"


@pytest.mark.parametrize(
    "words", ["(1 2,3) (3,4)", "1,2 3,4", "(1,2)", "(1,2) (3,4) (5,6)", "(1,2), (3,4)", "(0,1) (1,1)"]
)
def test_other_words_are_not_guessed_at(words):
    assert GAME.read(words, GAME.start(3, PAPER)) not in GAME.actions(PAPER)


@given(st.text(alphabet="( ),0123456789x٣\n"))
def test_reading_never_raises_and_does_nothing_twice(words):
    state = GAME.start(3, PAPER)
    once = GAME.read(words, state)
    assert GAME.read(once, state) == once


def test_a_pair_is_taken_away_and_scores_one():
    before = state_of("A B A / B . B")
    after, reward, score, event = GAME.step(before, "(1,1) (1,3)")
    assert after.cells == board_of(". B . / B . B")[0]
    assert (reward, score, after.score, after.turn, after.over) == (1, 1, 1, 1, False)
    assert event == "(1,1) (1,3) are taken; 3 tiles left"


def test_the_board_is_cleared():
    after, reward, _, _ = GAME.step(state_of(". A / A ."), "(1,2) (2,1)")
    assert after.over
    assert GAME.success(after)
    assert reward == 1
    assert GAME.legal(after) == ()
    assert GAME.solve(after) is None
    assert GAME.values(after) == {}


@pytest.mark.parametrize(("rule", "reward"), [("progress", 0), ("paper", 1)])
def test_a_pair_that_leaves_a_dead_end_earns_nothing_unless_by_the_paper(rule, reward):
    step = GAME.step(state_of("A B C C / B A . .", reward=rule, bends=1), "(1,3) (1,4)")
    assert step.reward == reward
    assert step.score == 1
    assert step.state.over
    assert not GAME.success(step.state)
    assert "none can go" in step.event


@pytest.mark.parametrize(
    "action", ["(1,1) (2,2)", "(1,1) (1,2)", "(1,2) (1,1)", "(1,1) (1,1)", "(9,9) (1,1)", "up", ""]
)
def test_what_is_not_legal_raises_and_says_what_is(action):
    state = state_of("A B C C / B A . .", bends=1)
    with pytest.raises(ValueError, match=r"is not legal here; legal: \(1,3\) \(1,4\)"):
        GAME.step(state, action)
    over = GAME.step(state, "(1,3) (1,4)").state
    with pytest.raises(ValueError, match="the game is over"):
        GAME.step(over, "(1,3) (1,4)")


def test_a_step_is_pure():
    state = GAME.start(7, PAPER)
    copy = pickle.loads(pickle.dumps(state))
    steps = [GAME.step(state, action) for action in GAME.legal(state)]
    assert state == copy
    assert steps == [GAME.step(copy, action) for action in reversed(GAME.legal(copy))][::-1]
    assert len(pickle.dumps(state)) < 600


@pytest.mark.parametrize("level", [2, 3, 4, "paper"])
def test_a_deal_holds_every_kind_four_times(level):
    knobs = GAME.settle(level)
    for seed in range(5):
        counts = Counter(GAME.start(seed, knobs).cells)
        assert set(counts.values()) == {4}
        assert len(counts) == knobs.kinds
        assert 0 not in counts


def test_kinds_that_do_not_divide_the_pairs_are_as_equal_as_pairs_allow():
    counts = Counter(GAME.start(0, GAME.settle({"kinds": 7})).cells)
    assert sorted(counts.values()) == [4, 4, 4, 6, 6, 6, 6]


def test_few_kinds_share_neither_shape_nor_colour():
    knobs = GAME.settle({"kinds": 6})
    for seed in range(20):
        kinds = {cell.words for cell in GAME.scene(GAME.start(seed, knobs)).cells}
        colors, shapes = zip(*(words.split() for words in kinds), strict=True)
        assert len(set(colors)) == len(set(shapes)) == 6


def test_deals_draw_their_kinds_from_a_deck():
    def kinds(deck):
        knobs = GAME.settle({"rows": 3, "kinds": 3, "deck": deck})
        states = [GAME.start(seed, knobs) for seed in range(60)]
        assert len({state.cells for state in states}) == 60
        return {kind for state in states for kind in state.cells}

    assert len(kinds(36)) == 36
    assert len(kinds(12)) == 12
    assert len(kinds(3)) == 3
    with pytest.raises(ValueError, match="deck=2 is not possible; a deal takes kinds=3 from it"):
        kinds(2)


def test_deals_with_holes_are_boards_in_the_middle_of_a_game_that_can_be_cleared():
    knobs = GAME.settle({"rows": 4, "cols": 4, "kinds": 1, "holes": 8})
    states = [GAME.start(seed, knobs) for seed in range(100)]
    assert {len(state.cells) - state.cells.count(0) for state in states} == {8}
    assert len({tuple(map(bool, state.cells)) for state in states}) > 95  # holes are anywhere
    assert all(can_clear(state.cells, knobs.cols, knobs.bends) for state in states)
    for holes in (1, 15, 16, 40):
        with pytest.raises(ValueError, match=rf"holes={holes} is not possible; tiles are even in number"):
            GAME.settle({"rows": 4, "cols": 4, "kinds": 1, "holes": holes})


def test_many_draws_find_boards_on_which_taking_the_first_pair_gets_stuck():
    knobs = GAME.settle({"draws": 64})
    for seed in range(4):
        state = GAME.start(seed, knobs)
        assert can_clear(state.cells, knobs.cols, knobs.bends)
        while not state.over:
            state = GAME.step(state, GAME.legal(state)[0]).state
        assert not GAME.success(state)


def test_every_kind_is_dealt_somewhere():
    seen = {cell.words for seed in range(60) for cell in GAME.scene(GAME.start(seed, PAPER)).cells}
    assert len(seen) == 36


@pytest.mark.parametrize("knobs", [{"rows": 5, "cols": 5}, {"kinds": 19}, {"rows": 2, "cols": 2}])
def test_boards_that_cannot_be_dealt_are_refused(knobs):
    with pytest.raises(ValueError, match=r"kinds=\d+ on rows=\d, cols=\d with holes=0 is not possible"):
        GAME.settle(knobs)


@settings(deadline=None, max_examples=60)
@given(boards(2, 4, tiles=10), st.integers(1, 2))
def test_the_solver_is_right_about_small_boards(drawn, bends):
    board, cols = drawn
    assert can_clear(board, cols, bends) == slow_clear(board, cols, bends)


@pytest.mark.parametrize(("level", "deals"), [(0, 50), (1, 50), (2, 30), ("paper", 30), (3, 10)])
def test_deals_are_cleared_by_the_solver(level, deals):
    assert clears(level, deals) == deals


def clears(level, deals):
    knobs = GAME.settle(level)
    outcomes = [
        play_baseline(GAME, knobs, deal(GAME, knobs, "test", index), solver) for index in range(deals)
    ]
    return sum(outcome.success for outcome in outcomes)


def test_the_solver_takes_the_first_pair_that_does_no_harm():
    # The first in reading order is (1,4) (2,4), but then no two tiles are joined by one turn.
    state = state_of("A . B A / B . A A", bends=1)
    plan = GAME.solve(state)
    assert plan.action == "(2,3) (2,4)"
    assert plan.value == 1
    assert GAME.values(state) == pytest.approx({"(1,4) (2,4)": 2 / 6, "(2,3) (2,4)": 1})


def test_solve_takes_an_action_of_the_highest_value():
    for level in range(4):
        knobs = GAME.settle(level)
        state = GAME.start(level, knobs)
        dice = Dice(level)
        while not state.over:
            values = GAME.values(state)
            assert set(values) == set(GAME.legal(state))
            assert all(0 <= value <= 1 for value in values.values())
            plan = GAME.solve(state)
            assert plan.value == values[plan.action] == max(values.values())
            assert plan.value == GAME.value(state, plan.action)
            state = GAME.step(state, dice.choice(GAME.legal(state))).state


def outcomes(level, player, deals):
    knobs = GAME.settle(level)
    return [play_baseline(GAME, knobs, deal(GAME, knobs, "train", index), player) for index in range(deals)]


@pytest.mark.parametrize(
    ("level", "deals"), [(0, 40), (1, 40), (2, 40), (3, 10), pytest.param(4, 4, marks=pytest.mark.slow)]
)
def test_random_does_worse_than_greedy_and_greedy_no_better_than_the_solver(level, deals):
    scores = [
        fmean(outcome.score for outcome in outcomes(level, player, deals))
        for player in (random, greedy, solver)
    ]
    assert scores[0] < scores[1] <= scores[2]


def test_a_beginner_clears_level_0_in_under_ten_moves():
    assert all(outcome.success and outcome.turns < 10 for outcome in outcomes(0, solver, 20))


@pytest.mark.slow
@pytest.mark.long
def test_levels_rise():
    shares = [
        fmean(outcome.success for outcome in outcomes(level, middling, deals))
        for level, deals in enumerate((400, 400, 400, 60, 20))
    ]
    assert all(easier > harder for easier, harder in pairwise(shares))
    assert shares[0] > 0.9
    assert shares[4] < 0.5


@pytest.mark.slow
@pytest.mark.long
def test_level_4_defeats_greedy_but_not_the_solver():
    assert fmean(outcome.success for outcome in outcomes(4, greedy, 100)) <= 0.15
    assert clears(4, 20) >= 18


@pytest.mark.slow
def test_random_play_by_the_papers_rules_lands_on_its_row():
    # The paper's row is 0.4 pairs in 30 actions. Any two of the 36 cells, in any order, is the sampling that
    # gives it; pairs that can be taken at random would clear nearly every board.
    scores = [outcome.score for outcome in outcomes("paper", random, 1500)]
    assert fmean(scores) == pytest.approx(0.4, abs=0.05)
    assert fmean(outcome.score for outcome in outcomes("paper", legal, 100)) > 17
