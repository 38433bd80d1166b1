"""Thoughts of Swap: positions by hand, every sentence against a second reading of the board, the play."""

from itertools import product
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_swap import (
    GAME,
    PAPER,
    PILE,
    grid,
    knobs_of,
    slow_fall,
    slow_legal,
    slow_lines,
    slow_swap,
    state_of,
    walk,
)

from vlm_gym.dice import mix
from vlm_gym.rollouts.baselines import legal, play_baseline, solver
from vlm_gym.thought import parse_sentence

LEVELS = (0, 1, 2, 3, 4, "paper", {"level": 0, "rows": 3, "cols": 3})
SCANS = (0, 1, 2, "paper", {"level": 0, "rows": 3, "cols": 3}, {"rows": 5, "cols": 3, "shapes": 1})


def place(cell):
    row, col = map(int, cell.strip("()").split(","))
    return row - 1, col - 1


def at(board, cell):
    """The tile of a cell, "-" outside the board."""
    row, col = cell
    return board[row][col] if 0 <= row < len(board) and 0 <= col < len(board[0]) else "-"


def line_of(board, line):
    """The cells of `row 2` or `column 3`."""
    way, number = line.split()
    if way == "row":
        return [(int(number) - 1, col) for col in range(len(board[0]))]
    return [(row, int(number) - 1) for row in range(len(board))]


def slow_taken(board, action):
    board = slow_swap(board, action)
    taken = 0
    while slow_lines(board):
        board, gone = slow_fall(board)
        taken += gone
    return taken, board


def gaps(board, line):
    """The places to fill of a line: the tile that stands twice, the gap, and the cells of three."""
    cells = line_of(board, line)
    for three in zip(cells, cells[1:], cells[2:], strict=False):
        shown = [at(board, cell) for cell in three]
        if "-" in shown or len(set(shown)) != 2:
            continue
        gap = next(cell for cell, tile in zip(three, shown, strict=True) if shown.count(tile) == 1)
        tile = next(tile for tile in shown if shown.count(tile) == 2)
        yield tile, gap, three


def fillers(board, tile, gap, three):
    row, col = gap
    beside = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
    return {cell for cell in beside if cell not in three and at(board, cell) == tile}


def check_sentence(board, step):
    """Check one sentence about a full board by definition."""
    template, slots = parse_sentence(step, GAME.grammar)
    if template == "{line} has no swap":
        assert not any(fillers(board, tile, gap, three) for tile, gap, three in gaps(board, slots[0]))
        return
    if template == "best {cell} {cell}":
        legal = slow_legal(board, GAME.actions(knobs_of(rows=len(board), cols=len(board[0]))))
        assert f"{slots[0]} {slots[1]}" in legal
        most = max(slow_taken(board, action)[0] for action in legal)
        assert slow_taken(board, f"{slots[0]} {slots[1]}")[0] == most
        return
    if template == "{cell} {tile}":
        assert at(board, place(slots[0])) == slots[1]
        return
    line, tile, gap = slots[:3]
    three = [cells for kind, cell, cells in gaps(board, line) if (kind, cell) == (tile, place(gap))]
    assert three
    if template == "{line} {tile} {cell} {cell} takes {n}":
        assert any(place(slots[3]) in fillers(board, tile, place(gap), cells) for cells in three)
        assert slow_taken(board, f"{gap} {slots[3]}")[0] == int(slots[4])
    else:
        assert template == "{line} {tile} {cell}"


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SCANS), st.integers(0, 2**62 - 1))
def test_all_facts_of_a_full_board_are_true_and_the_steps_are_among_them(wanted, seed):
    knobs = GAME.settle(wanted)
    for state in walk(GAME.start(seed, knobs), 2, seed):
        if state.over:
            continue
        facts = GAME.facts(state)
        for fact in facts:
            check_sentence(grid(state), fact)
        assert facts.issuperset(GAME.think(state).steps)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SCANS), st.integers(0, 2**62 - 1))
def test_a_scan_misses_no_swap(wanted, seed):
    """Every legal swap of a full board follows from some facts, and from them no other swap."""
    state = GAME.start(seed, GAME.settle(wanted))
    facts = GAME.facts(state)
    named = set()
    for fact in facts:
        template, slots = parse_sentence(fact, GAME.grammar)
        if template == "{line} {tile} {cell} {cell} takes {n}":
            named.add(" ".join(sorted(slots[2:4], key=place)))
        if template == "{line} {tile} {cell}":
            line, tile, gap = slots
            for kind, cell, cells in gaps(grid(state), line):
                if (kind, cell) == (tile, place(gap)):
                    for row, col in fillers(grid(state), tile, cell, cells):
                        neighbour = f"({row + 1},{col + 1})"
                        assert f"{neighbour} {tile}" in facts
                        named.add(GAME.conclude((fact, f"{neighbour} {tile}")))
    assert named == set(GAME.legal(state))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(LEVELS), st.integers(0, 2**62 - 1))
def test_the_steps_alone_lead_to_the_action_and_only_in_the_end(wanted, seed):
    for state in walk(GAME.start(seed, GAME.settle(wanted)), 3, seed):
        thought = GAME.think(state)
        if state.over:
            assert thought is None
            assert GAME.facts(state) == frozenset()
            continue
        assert thought.action in GAME.legal(state)
        assert GAME.conclude(thought.steps) == thought.action
        assert all(GAME.conclude(thought.steps[:count]) is None for count in range(len(thought.steps)))
        assert thought.value == max(GAME.values(state).values())
        assert GAME.solve(state) == (thought.action, thought.value)
        said_again = [step for step in set(thought.steps) if thought.steps.count(step) > 1]
        assert all(parse_sentence(step, GAME.grammar)[0] == "{cell} {tile}" for step in said_again)
        assert all(fact.lower() == fact for fact in GAME.facts(state))


def test_the_first_swap_found_is_played_where_swaps_are_counted():
    # Column 1 has two a, and no third beside the gap. Column 2 has two b: none is beside the gap above them,
    # and one to the right of the gap below.
    text = "a c d e / c b e d / a b d c / e d b a"
    state = state_of(text, knobs_of(rows=4, cols=4, shapes=2, count="swaps"))
    thought = GAME.think(state)
    a = grid(state)[0][0]
    b = grid(state)[1][1]
    d = grid(state)[0][2]
    e = grid(state)[3][0]
    assert thought.steps == (
        *(f"column 1 {a} (2,1)", f"(2,2) {b}"),
        *(f"column 2 {b} (1,2)", f"(1,1) {a}", f"(1,3) {d}"),
        *(f"column 2 {b} (4,2)", f"(4,1) {e}", f"(4,3) {b}"),
    )
    assert thought.action == "(4,2) (4,3)"
    assert thought.value == 1.0


def test_swaps_are_compared_where_tiles_count():
    # Column 1 takes three a, row 4 takes four b.
    text = "a c e d / a d c e / c a b d / b b d b"
    state = state_of(text)
    a, b = grid(state)[0][0], grid(state)[3][0]
    thought = GAME.think(state)
    assert f"column 1 {a} (3,1) (3,2) takes 3" in thought.steps
    assert f"row 4 {b} (4,3) (3,3) takes 4" in thought.steps
    assert thought.steps[-1] == "best (3,3) (4,3)"
    assert thought.action == "(3,3) (4,3)"
    assert thought.value == max(GAME.values(state).values()) > GAME.value(state, "(3,1) (3,2)")


def test_two_threes_that_share_a_gap_are_one_sentence():
    # Of row 2, the b is the gap of `a b a` and of `b a a`; the a before it fills it.
    state = state_of("c d e f / a b a a / d c f e", knobs_of(rows=3, cols=4, shapes=2))
    a = grid(state)[1][0]
    assert [step for step in GAME.think(state).steps if " (2,2)" in step] == [
        f"row 2 {a} (2,2) (2,1) takes 3",
        "best (2,1) (2,2)",
    ]


def test_a_pile_is_played_to_its_end():
    state = state_of(". . . . / . . . . / a a b . / b b a .", PILE)
    thought = GAME.think(state)
    assert thought.steps == ("6 tiles (3,3) (4,3) takes 6", "0 tiles stay")
    assert thought.action == "(3,3) (4,3)"
    # A pile that cannot be cleared: three of six tiles can go.
    lost = state_of(". . . . / . . . . / a a c . / c b a .", PILE)
    thought = GAME.think(lost)
    assert thought.steps == ("6 tiles (3,3) (4,3) takes 3", "3 tiles stay")
    assert thought.value == 0.5


def slow_best(board, actions, known):
    """The most tiles of a pile that can go, by trying everything."""
    key = tuple(map(tuple, board))
    if key not in known:
        ways = [slow_taken(board, action) for action in slow_legal(board, actions)]
        known[key] = max((taken + slow_best(after, actions, known) for taken, after in ways), default=0)
    return known[key]


def test_a_thought_about_a_pile_is_a_game_that_takes_the_most_tiles():
    knobs = knobs_of(rows=5, cols=5, colors=4, shapes=1, refill="none", target=12)
    lost = 0
    for seed in range(12):
        for state in walk(GAME.start(seed, knobs), 4, seed):
            if state.over:
                continue
            board = grid(state)
            tiles = sum(tile != "-" for row in board for tile in row)
            most = slow_best(board, GAME.actions(knobs), {})
            thought = GAME.think(state)
            *moves, end = thought.steps
            for step in moves:
                left, one, other, taken = parse_sentence(step, GAME.grammar)[1]
                assert int(left) == sum(tile != "-" for row in board for tile in row)
                assert f"{one} {other}" in slow_legal(board, GAME.actions(knobs))
                gone, board = slow_taken(board, f"{one} {other}")
                assert gone == int(taken)
            assert end == f"{tiles - most} tiles stay"
            assert thought.value == most / tiles
            lost += most < tiles
            assert GAME.facts(state).issuperset(thought.steps)
    assert lost


def test_facts_of_a_pile_are_what_play_can_reach():
    knobs = knobs_of(rows=4, cols=4, shapes=1, refill="none", target=9)
    for seed in range(15):
        state = GAME.start(seed, knobs)
        wanted = set()
        todo = [grid(state)]
        while todo:
            board = todo.pop()
            left = sum(tile != "-" for row in board for tile in row)
            legal = slow_legal(board, GAME.actions(knobs))
            if not legal:
                wanted.add(f"{left} tiles stay")
            for action in legal:
                taken, after = slow_taken(board, action)
                wanted.add(f"{left} tiles {action} takes {taken}")
                todo.append(after)
        assert GAME.facts(state) == wanted


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ("",),
        ("left",),
        ("column 1 has no swap",),
        ("column 1 red circle (2,1) (2,2) takes 3",),
        ("column 1 red circle (2,1)",),
        ("(2,2) red circle",),
        ("column 1 red circle (2,1)", "(2,2) blue circle"),
        ("column 1 red circle (2,1)", "(3,2) red circle"),
        ("column 1 red circle (2,1)", "(2,2) red circle", "column 2 has no swap"),
        ("9 tiles (1,1) (1,2) takes 3",),
        ("0 tiles stay",),
        ("9 tiles (1,1) (1,2) takes 3", "5 tiles stay"),
        ("9 tiles (1,1) (1,2) takes 3", "column 1 has no swap", "6 tiles stay"),
        ("best (1,1) (1,2)", "and so on"),
        ("best",),
    ],
)
def test_nothing_follows_from_words_that_decide_nothing(steps):
    assert GAME.conclude(steps) is None


@pytest.mark.parametrize(
    ("steps", "action"),
    [
        (("column 1 red circle (2,1)", "(2,2) red circle"), "(2,1) (2,2)"),
        (("row 10 red circle (10,2)", "(11,2) blue circle", "(9,2) red circle"), "(9,2) (10,2)"),
        (("Row 1  RED circle (2,2) (2,1) takes 6",), "(2,1) (2,2)"),
        (("9 tiles (1,1) (1,2) takes 3", "6 tiles stay"), "(1,1) (1,2)"),
        (("column 1 has no swap", "best (1,1) (1,2)"), "(1,1) (1,2)"),
    ],
)
def test_what_steps_imply(steps, action):
    assert GAME.conclude(steps) == action


def test_thoughts_do_not_depend_on_dice():
    for level in LEVELS:
        state = GAME.start(3, GAME.settle(level))
        other = type(state)(**{**vars(state), "seed": 4})
        assert GAME.think(other) == GAME.think(state)
        assert GAME.facts(other) == GAME.facts(state)


@pytest.mark.parametrize(
    ("level", "games", "share"), [(0, 30, 1.0), (1, 60, 0.93), (3, 40, 1.0), (4, 10, 1.0)]
)
def test_who_plays_by_thoughts_reaches_the_goal(level, games, share):
    knobs = GAME.settle(level)
    assert fmean(play_baseline(GAME, knobs, mix(seed) >> 2, solver).success for seed in range(games)) >= share


@pytest.mark.slow
def test_who_plays_by_thoughts_reaches_the_goal_of_level_2_more_often_than_who_plays_any_swap():
    shares = [
        fmean(play_baseline(GAME, GAME.levels[2], mix(seed) >> 2, player).success for seed in range(150))
        for player in (solver, legal)
    ]
    assert shares[0] >= 0.9
    assert shares[1] <= 0.7


def test_a_thought_of_the_papers_rules_stops_at_the_first_swap():
    for seed in range(20):
        thought = GAME.think(GAME.start(seed, PAPER))
        found = [GAME.conclude(thought.steps[:count]) for count in range(len(thought.steps) + 1)]
        assert found == [None] * len(thought.steps) + [thought.action]
        assert thought.steps[-1].split()[0] in thought.action


def test_every_kind_of_sentence_is_taught_somewhere():
    seen = set()
    for level, seed in product(LEVELS, range(6)):
        for step in GAME.think(GAME.start(seed, GAME.settle(level))).steps:
            seen.add(parse_sentence(step, GAME.grammar)[0])
    assert seen == set(GAME.grammar)
