"""Thoughts of Shisen-Sho: positions by hand, every sentence against a slow search, the play that follows."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shisen_sho import GAME, board_of, boards, slow_clear, slow_turns, state_of
from vlm_gym.games.shisen_sho.thought import spoken, tile_words

from vlm_gym.dice import Dice
from vlm_gym.episode import deal
from vlm_gym.game import Board
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import play_baseline, solver
from vlm_gym.thought import fold, parse_sentence, sentences

PHOTOS = find("shisen_sho_photos")
SMALL = {"level": 0, "rows": 3, "cols": 3, "kinds": 1, "holes": 1}


def place(cell):
    row, col = map(int, cell.strip("()").split(","))
    return row, col


def words_of(state):
    return tile_words(GAME.scene(state))


def walk(game, level, seed, count):
    state = game.start(seed, game.settle(level))
    for turn in range(count):
        if state.over:
            return
        yield state
        state = game.step(state, Dice(seed, turn).choice(game.legal(state))).state


class Truth:
    """What holds on a board, by slow searches."""

    def __init__(self, state, words):
        self.board, self.cols, self.bends = state.cells, state.knobs.cols, state.knobs.bends
        self.words = words
        tiles = [cell for cell, kind in enumerate(self.board) if kind]
        self.joined = {
            (a, b)
            for a, b in combinations(tiles, 2)
            if self.board[a] == self.board[b] and slow_turns(self.board, self.cols, a, b) <= self.bends
        }

    def cell(self, name):
        row, col = place(name)
        return (row - 1) * self.cols + col - 1

    def free(self, row, col):
        rows = len(self.board) // self.cols
        outside = row in (0, rows + 1) or col in (0, self.cols + 1)
        return outside or not self.board[(row - 1) * self.cols + col - 1]

    def path(self, one, other, line):
        """Whether the path along a line turns little enough and runs over free cells."""
        (row, col), (row_b, col_b) = place(one), place(other)
        way, number = line.split()
        at = int(number)
        corners = [(at, col), (at, col_b)] if way == "row" else [(row, at), (row_b, at)]
        stops = [(row, col), *corners, (row_b, col_b)]
        legs = [leg for leg in pairwise(stops) if leg[0] != leg[1]]
        cells = []
        for (r, c), (r_b, c_b) in legs:
            down, right = (r_b > r) - (r_b < r), (c_b > c) - (c_b < c)
            cells += [(r + down * step, c + right * step) for step in range(1, abs(r_b - r + c_b - c) + 1)]
        return len(legs) - 1 <= self.bends and all(self.free(*cell) for cell in cells[:-1])

    def outermost(self, line, name):
        """Whether nothing stands between a cell and a line outside the board."""
        (row, col), (way, number) = place(name), line.split()
        rows = len(self.board) // self.cols
        at = int(number)
        if way == "row":
            assert at in (0, rows + 1)
            between = [(each, col) for each in range(min(at, row) + 1, max(at, row))]
        else:
            assert at in (0, self.cols + 1)
            between = [(row, each) for each in range(min(at, col) + 1, max(at, col))]
        return all(self.free(*cell) for cell in between)

    def joined_by(self, line):
        """The pairs of different columns that a path along a row joins; of different rows, along a column."""
        axis = 1 if line.startswith("row") else 0
        pairs = [(one, other) for one, other in self.joined if self.at(one)[axis] != self.at(other)[axis]]
        return [(one, other) for one, other in pairs if self.path(self.name(one), self.name(other), line)]

    def at(self, cell):
        return divmod(cell, self.cols)

    def name(self, cell):
        row, col = self.at(cell)
        return f"({row + 1},{col + 1})"

    def holds(self, step, game):
        template, slots = parse_sentence(step, game.grammar)
        if template == "{line} has no pair":
            return not self.joined_by(slots[0])
        line, name, tile, *others = slots
        if self.words[self.cell(name)] != tile:
            return False
        if not others:
            return self.outermost(line, name)
        pair = tuple(sorted(map(self.cell, (name, *others))))
        if pair not in self.joined_by(line):
            return False
        left = bytes(0 if cell in pair else kind for cell, kind in enumerate(self.board))
        return "leaves" not in template or not slow_clear(left, self.cols, self.bends)


@settings(deadline=None, max_examples=60)
@given(boards(2, 4, tiles=10), st.integers(1, 2))
def test_all_facts_of_small_boards_are_true_and_the_steps_are_among_them(drawn, bends):
    board, cols = drawn
    knobs = GAME.settle(
        {"rows": len(board) // cols, "cols": cols, "kinds": 1, "holes": len(board) % 2, "bends": bends}
    )
    state = Board(knobs=knobs, seed=1, cells=board)
    if not GAME.legal(state):
        return
    truth = Truth(state, words_of(state))
    facts = GAME.facts(state)
    assert [fact for fact in facts if not truth.holds(fact, GAME)] == []
    thought = GAME.think(state)
    assert facts.issuperset(thought.steps)
    # Exact: a board that can be cleared still can be.
    if slow_clear(board, cols, bends):
        left = GAME.step(state, thought.action).state.cells
        assert slow_clear(left, cols, bends)
        assert thought.value == 1


@pytest.mark.parametrize("level", [0, 1, 2, 3, "paper", SMALL])
@pytest.mark.parametrize("game", [GAME, PHOTOS], ids=["plain", "photos"])
def test_the_steps_alone_lead_to_the_action_and_only_in_the_end(game, level):
    for seed in range(2):
        for state in [*walk(game, level, seed, 12)][::3]:
            thought = game.think(state)
            facts = game.facts(state)
            assert thought.action in game.legal(state)
            assert facts.issuperset(thought.steps)
            assert all(fold(fact) == fact and sentences(fact) == [fact] for fact in facts)
            assert game.conclude(thought.steps) == thought.action
            assert all(game.conclude(thought.steps[:count]) is None for count in range(len(thought.steps)))
            assert game.solve(state) == (thought.action, thought.value)
            assert len(set(thought.steps)) == len(thought.steps)


def test_steps_of_larger_boards_are_true():
    for level in (0, 1, 2, 3):
        for state in walk(GAME, level, level, 20):
            truth = Truth(state, words_of(state))
            for step in GAME.think(state).steps:
                if not step.endswith("leaves tiles"):  # a slow search would not end
                    assert truth.holds(step, GAME), step


def test_outermost_tiles_are_named_first_until_one_is_equal_to_one_before():
    # The b are neighbours. The path between the a runs along row 0.
    state = state_of("A C A / B B C")
    a, c, _, b, *_ = words_of(state)
    assert GAME.think(state).steps == (f"row 0 (1,1) {a}", f"row 0 (1,2) {c}", f"row 0 (1,3) {a} (1,1)")
    once = state_of("A C A / B B C", bends=1)
    assert GAME.think(once).steps == ("row 1 has no pair", f"row 2 (2,1) {b} (2,2)")


def test_a_column_is_seen_through_to_its_first_tile_and_an_empty_one_has_none():
    state = state_of(". . A / C . A / C . B / B . .")
    a, b, c = (words_of(state)[cell] for cell in (2, 8, 3))
    above = (f"row 0 (2,1) {c}", f"row 0 (1,3) {a}")
    left = (f"column 0 (1,3) {a}", f"column 0 (2,1) {c}", f"column 0 (3,1) {c} (2,1)")
    assert GAME.think(state).steps == (*above, *left)
    assert GAME.think(state).action == "(2,1) (3,1)"
    facts = GAME.facts(state)
    assert {f"row 5 (4,1) {b}", f"row 5 (3,3) {b}", f"column 4 (3,3) {b}"} <= facts


def test_lines_of_the_board_come_after_all_lines_outside():
    # No side sees the two a. A path between them runs along column 2.
    state = state_of(". B C D . / E . A . F / G . A . H / . I J K .")
    steps = GAME.think(state).steps
    outside = [*("row 0",) * 5, *("column 0",) * 4, *("row 5",) * 5, *("column 6",) * 4]
    assert [" ".join(step.split()[:2]) for step in steps[: len(outside)]] == outside
    without = [f"row {row} has no pair" for row in (1, 2, 3, 4)]
    last = f"column 2 (2,3) {words_of(state)[7]} (3,3)"
    assert steps[len(outside) :] == (*without, "column 1 has no pair", last)


def test_every_line_without_a_pair_is_named_before_the_one_that_has_it():
    state = state_of("A C B / B A C / D D E / E . .", bends=1)
    words = words_of(state)
    before = ("row 1 has no pair", "row 2 has no pair")
    assert GAME.think(state).steps == (*before, f"row 3 (3,1) {words[6]} (3,2)")


def test_a_pair_that_leaves_tiles_is_left_for_later():
    # If the two a of row 1 go, every path that is left turns twice.
    state = state_of(". A A . / B A B A", bends=1)
    a = words_of(state)[1]
    thought = GAME.think(state)
    assert thought.steps == (f"row 1 (1,2) {a} (1,3) leaves tiles", f"row 1 (1,3) {a} (2,4)")
    assert thought.action == "(1,3) (2,4)"
    assert thought.value == 1
    # What a pair leaves is said of none that comes after the one that is taken.
    assert [fact for fact in GAME.facts(state) if "leaves" in fact] == [thought.steps[0]]


def test_a_lost_board_is_played_on_for_the_most_tiles():
    board, cols = board_of("A B C C / B A D D")
    state = state_of("A B C C / B A D D", bends=1)
    assert not slow_clear(board, cols, 1)
    while not state.over:
        state = GAME.step(state, GAME.think(state).action).state
    assert state.score == 2


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ("",),
        ("left",),
        ("row 1 has no pair",),
        ("row 1 (1,1) red circle (1,2) leaves tiles",),
        ("row 1 (1,1) red circle (1,2)", "row 2 has no pair"),
        ("(1,1) red circle (1,2)",),
        ("row 0 (1,1) red circle",),
        ("row 0 (1,1) red circle", "row 0 (1,2) red circle"),
        ("row 0 (1,1) red circle", "row 0 (1,2) red circle (1,1) leaves tiles"),
    ],
)
def test_nothing_follows_from_words_that_decide_nothing(steps):
    assert GAME.conclude(steps) is None


def test_what_steps_imply():
    assert GAME.conclude(("row 1 (1,2) red circle (1,1)",)) == "(1,1) (1,2)"
    assert GAME.conclude((" ROW 2 (2,10) RED circle  (2,9) ",)) == "(2,9) (2,10)"
    assert GAME.conclude(("row 0 (1,1) red circle", "Row 0  (1,3) RED circle (1,1)")) == "(1,1) (1,3)"
    later = "row 0 (1,2) red circle (1,1) leaves tiles"
    assert GAME.conclude((later, "row 0 (1,3) red circle (1,2)")) == "(1,2) (1,3)"


def test_words_of_any_album_are_sentences():
    assert spoken("Hot. dog, (raw) | x y z") == "hot dog raw x"
    assert spoken("cat") == "cat"


@pytest.mark.parametrize(("level", "games"), [(0, 40), (1, 20), (2, 20), ("paper", 20), (SMALL, 20)])
def test_who_plays_by_thoughts_clears_the_board(level, games):
    knobs = GAME.settle(level)
    for index in range(games):
        assert play_baseline(GAME, knobs, deal(GAME, knobs, "test", index), solver).success


def test_many_tiles_of_one_kind_are_paired_in_time():
    state = GAME.start(1, GAME.settle({"rows": 12, "cols": 12, "kinds": 1}))
    thought = GAME.think(state)
    assert GAME.facts(state).issuperset(thought.steps)
    assert GAME.conclude(thought.steps) == thought.action


def test_every_kind_of_sentence_is_taught_somewhere():
    seen = set()
    for level in (0, 3):
        for seed in range(12):
            for state in [*walk(GAME, level, seed, 32)][::4]:
                seen.update(parse_sentence(step, GAME.grammar)[0] for step in GAME.think(state).steps)
    assert seen == set(GAME.grammar)
