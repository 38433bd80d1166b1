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
VERDICTS = ("and all go", "and the rest can go", "and most can go")


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


def slow_match(tiles, joined):
    """Whether tiles make pairs that are joined, by trying every way."""
    if not tiles:
        return True
    first, *others = tiles
    return any(
        (first, other) in joined and slow_match([tile for tile in others if tile != other], joined)
        for other in others
    )


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

    def tiles(self, words):
        return [cell for cell, said in enumerate(self.words) if said == words]

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

    def holds(self, step, game):
        template, slots = parse_sentence(step, game.grammar)
        tiles = self.tiles(slots[0])
        whole = slow_match(tiles, self.joined)
        if template == "{tile} not in pairs":
            return bool(tiles) and not whole
        cell = self.cell(slots[1])
        if template == "{tile} {cell} alone":
            return cell in tiles and not any(cell in pair for pair in self.joined)
        pair = tuple(sorted((cell, self.cell(slots[2]))))
        if self.words[pair[0]] != slots[0] or pair not in self.joined or not self.path(*slots[1:4]):
            return False
        left = bytes(0 if cell in pair else kind for cell, kind in enumerate(self.board))
        if template.endswith("all go"):
            return slow_match([tile for tile in tiles if tile not in pair], self.joined)
        if template.endswith("the rest can go"):
            return slow_clear(left, self.cols, self.bends)
        return True


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
                if not step.endswith(VERDICTS[1:]):
                    assert truth.holds(step, GAME), step


def test_a_kind_that_can_go_whole_is_taken_first():
    # The a in the middle is alone. The b make two pairs.
    state = state_of("A B B D / C A B E / D C B E")
    a, b, c = words_of(state)[0], words_of(state)[1], words_of(state)[4]
    thought = GAME.think(state)
    assert thought.steps == (
        f"{a} (1,1) alone",
        f"{b} (1,2) (1,3) row 1",
        f"{b} (2,3) (3,3) column 3 and all go",
    )
    assert thought.action == "(2,3) (3,3)"
    assert {f"{a} (2,2) alone", f"{a} not in pairs", f"{c} (2,1) alone"} <= GAME.facts(state)


def test_a_path_may_run_outside():
    state = state_of("A B A / B C B")
    thought = GAME.think(state)
    assert thought.steps == (f"{words_of(state)[0]} (1,1) (1,3) row 0 and all go",)


def test_where_no_kind_can_go_whole_the_rest_decides():
    state = state_of("A . B A / B . A A", bends=1)
    a, b = words_of(state)[0], words_of(state)[2]
    thought = GAME.think(state)
    assert thought.steps[-1] == f"{a} (2,3) (2,4) row 2 and the rest can go"
    assert f"{b} (1,3) alone" in thought.steps
    assert not any(fact.startswith(f"{a} (1,4) (2,4)") and " and " in fact for fact in GAME.facts(state))


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
        ("red circle (1,1) alone",),
        ("red circle not in pairs",),
        ("red circle (1,1) (1,2) row 1",),
        ("red circle (1,1) (1,2) row 1 and all go", "red circle not in pairs"),
        ("red circle (1,1) (1,2) and all go",),
    ],
)
def test_nothing_follows_from_words_that_decide_nothing(steps):
    assert GAME.conclude(steps) is None


def test_what_steps_imply():
    assert GAME.conclude(("red circle (1,2) (1,1) row 1 and all go",)) == "(1,1) (1,2)"
    assert GAME.conclude((" RED circle (2,10) (2,9)  row 2 and the rest can go ",)) == "(2,9) (2,10)"


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
