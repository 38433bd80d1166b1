"""2048: the rules by hand and against a second implementation on lists, the solver, the levels."""

import math
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.dice import mix
from vlm_gym.game import TOLERANCE
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import greedy, legal, middling, play_baseline, random, solver

GAME = find("2048")
PAPER = GAME.settle("paper")
Grid = list[list[int]]


def state_of(text, knobs=PAPER, **changes):
    """A position drawn by hand, such as `2 2 . 4 / . . . .`; the board's size follows from it."""
    rows = [row.split() for row in text.split("/")]
    powers = [0 if cell == "." else int(cell).bit_length() - 1 for row in rows for cell in row]
    knobs = GAME.settle({**vars(knobs), "size": len(rows)})
    return type(GAME.start(0, PAPER))(knobs=knobs, seed=1, cells=bytes(powers), **changes)


def grid(state) -> Grid:
    return [[0 if cell == "-" else int(cell) for cell in row] for row in GAME.scene(state).grid()]


def slow_slide(line):
    """Slide left by the book: move each tile on its own until it is blocked, and merge it if it may."""
    line, points, merged = list(line), 0, set()
    for start in range(len(line)):
        place = start
        while line[place] and place:
            if line[place - 1] == 0:
                line[place - 1], line[place] = line[place], 0
            elif line[place - 1] == line[place] and place - 1 not in merged:
                line[place - 1], line[place] = 2 * line[place], 0
                points += line[place - 1]
                merged.add(place - 1)
                break
            else:
                break
            place -= 1
    return line, points


def slow_move(board: Grid, action: str) -> tuple[Grid, int]:
    def across(rows):
        return [list(column) for column in zip(*rows, strict=True)]

    rows = across(board) if action in ("up", "down") else board
    if action in ("right", "down"):
        slid = [slow_slide(row[::-1]) for row in rows]
        rows = [row[::-1] for row, _ in slid]
    else:
        slid = [slow_slide(row) for row in rows]
        rows = [row for row, _ in slid]
    return across(rows) if action in ("up", "down") else rows, sum(points for _, points in slid)


boards = st.integers(3, 6).flatmap(
    lambda size: st.lists(
        st.lists(
            st.sampled_from([0, 0, 2, 2, 4, 8, 64, 128, 256, 2048, 65536]), min_size=size, max_size=size
        ),
        min_size=size,
        max_size=size,
    )
)


@settings(max_examples=400, deadline=None)
@given(boards.filter(lambda rows: any(map(any, rows))), st.integers(0, 2**63 - 1))
def test_moves_agree_with_a_second_implementation(rows, seed):
    state = state_of("/".join(" ".join(str(tile or ".") for tile in row) for row in rows))
    state = type(state)(**{**vars(state), "seed": seed})
    assert grid(state) == rows
    slow = {action: slow_move(rows, action) for action in GAME.actions(PAPER)}
    assert GAME.legal(state) == tuple(action for action, (after, _) in slow.items() if after != rows)
    for action in GAME.legal(state):
        step = GAME.step(state, action)
        assert step == GAME.step(state, action)
        after, points = slow[action]
        assert step.score == points == step.state.score
        differ = [
            (old, new)
            for old_row, new_row in zip(after, grid(step.state), strict=True)
            for old, new in zip(old_row, new_row, strict=True)
            if old != new
        ]
        assert differ in ([(0, 2)], [(0, 4)])


@pytest.mark.parametrize(
    ("row", "action", "after", "points"),
    [
        ("2 2 2 .", "left", "4 2 . .", 4),
        ("2 2 2 .", "right", ". . 2 4", 4),
        ("2 2 2 2", "left", "4 4 . .", 8),
        ("4 2 2 .", "left", "4 4 . .", 4),
        (". 2 . 2", "right", ". . . 4", 4),
        ("128 128 . .", "left", "256 . . .", 256),
        ("32768 32768 65536 65536", "right", ". . 65536 131072", 196608),
    ],
)
def test_a_tile_merges_once_nearest_the_wall_first(row, action, after, points):
    state = state_of(f"{row} / 8 16 8 16 / 16 8 16 8 / 8 16 8 16")
    step = GAME.step(state, action)
    wanted = [0 if cell == "." else int(cell) for cell in after.split()]
    # The new tile may have come to an empty cell of this row.
    for tile, want in zip(grid(step.state)[0], wanted, strict=True):
        assert tile == want or (want == 0 and tile in (2, 4))
    assert step.score == points


def test_a_column_slides_like_a_row():
    state = state_of("2 . . . / 2 . . . / 4 . . . / . . . .")
    assert [row[0] for row in grid(GAME.step(state, "down").state)][2:] == [4, 4]
    assert [row[0] for row in grid(GAME.step(state, "up").state)][:2] == [4, 4]


def test_moves_that_change_nothing_are_not_legal():
    state = state_of("2 4 . . / . . . . / . . . . / . . . .")
    assert GAME.legal(state) == ("right", "down")
    for action in ("left", "up", "sideways", ""):
        with pytest.raises(ValueError, match="right, down"):
            GAME.step(state, action)


def test_the_game_ends_when_no_move_is_left_and_not_at_2048():
    full = state_of("2 4 2 4 / 4 2 4 2 / 2 4 2 4 / 8 8 32 64")
    ends = [GAME.step(type(full)(**{**vars(full), "seed": seed}), "left").state for seed in range(60)]
    assert {end.over for end in ends} == {True, False}
    for end in ends:
        shown = grid(end)
        assert end.over == all(slow_move(shown, action)[0] == shown for action in GAME.actions(PAPER))
        assert end.over == (GAME.legal(end) == ())
    stuck = next(end for end in ends if end.over)
    with pytest.raises(ValueError, match="over"):
        GAME.step(stuck, "left")
    past = GAME.step(state_of("1024 1024 . . / . . . . / . . . . / . . . ."), "left").state
    assert not past.over
    assert not GAME.success(past)


def test_the_target_ends_the_game_and_is_success():
    knobs = GAME.settle({"target": 64, "reward": "progress"})
    state = state_of("32 32 . 2 / . . . . / . . . . / . . . .", knobs)
    won = GAME.step(state, "left")
    assert won.state.over
    assert GAME.success(won.state)
    assert won.reward == 1.0
    assert GAME.legal(won.state) == ()
    assert not GAME.success(GAME.step(state, "down").state)
    assert GAME.values(state)["left"] == 1.0 > GAME.values(state)["down"]


def test_rewards_follow_the_points():
    board = "8 8 . 2 / 2 . . . / . . . . / . . . ."
    progress = state_of(board, GAME.settle({"target": 256, "reward": "progress"}))
    assert GAME.step(progress, "left").reward == pytest.approx(math.log2(16) / math.log2(256))
    assert GAME.step(progress, "down").reward == 0.0
    assert GAME.step(state_of(board), "left").reward == 1.0
    assert GAME.step(state_of(board), "down").reward == -1.0


def test_paper_deals_two_tiles_and_spawns_a_four_in_ten():
    starts = [GAME.start(mix(seed) >> 1, PAPER) for seed in range(3000)]
    tiles = [tile for state in starts for row in grid(state) for tile in row if tile]
    assert len(tiles) == 6000
    assert set(tiles) == {2, 4}
    # Six standard errors of 6,000 draws at 0.1.
    assert tiles.count(4) / 6000 == pytest.approx(0.1, abs=0.024)
    assert len({state.cells for state in starts}) > 300
    # The first new tile is not one of those dealt: its dice are other dice.
    news = [GAME.step(state, GAME.legal(state)[0]).state for state in starts[:500]]
    assert len({state.cells for state in news}) > 200


@pytest.mark.parametrize("target", [4, 6, 100, -8])
def test_targets_that_are_no_tile_are_refused(target):
    with pytest.raises(ValueError, match=f"target={target}"):
        GAME.settle({"target": target})


def test_values_judge_legal_moves_on_random_boards():
    for seed in range(60):
        state = GAME.start(seed, GAME.settle({"level": seed % 5, "tiles": 7}))
        for _ in range(seed % 20):
            if not state.over:
                state = GAME.step(state, GAME.legal(state)[mix(seed) % len(GAME.legal(state))]).state
        if state.over:
            continue
        values = GAME.values(state)
        assert tuple(values) == GAME.legal(state)
        assert all(0 <= value <= 1 for value in values.values())
        assert values[GAME.solve(state).action] >= max(values.values()) - TOLERANCE


def outcomes(knobs, player, count, first=0):
    return [play_baseline(GAME, knobs, mix(first + number) >> 2, player) for number in range(count)]


def share(knobs, player, count):
    return fmean(outcome.success for outcome in outcomes(knobs, player, count))


def strength(knobs, player, count):
    """Success first, score where success does not tell."""
    runs = outcomes(knobs, player, count)
    return fmean(run.success for run in runs), fmean(run.score for run in runs)


def test_level_0_takes_the_solver_fewer_than_ten_moves():
    runs = outcomes(GAME.levels[0], solver, 20)
    assert all(run.success and run.turns < 10 for run in runs)


def test_level_4_defeats_the_greedy_player_but_not_the_solver():
    assert share(GAME.levels[4], greedy, 60) <= 0.1
    assert share(GAME.levels[4], solver, 10) >= 0.6


def test_the_solver_outscores_greedy_under_paper():
    mine = fmean(run.score for run in outcomes(PAPER, solver, 10))
    assert mine > fmean(run.score for run in outcomes(PAPER, greedy, 30))


@pytest.mark.slow
@pytest.mark.long
def test_levels_rise_and_players_keep_their_order():
    shares = [share(knobs, middling, 100) for knobs in GAME.levels]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[4] > 0.6
    for knobs in GAME.levels:
        low, middle, high = (strength(knobs, player, 40) for player in (random, greedy, solver))
        assert low < middle <= high


@pytest.mark.slow
def test_random_play_lands_at_the_papers_random_row():
    """The paper's 701, a mean of ten runs, is uniform choice among all four moves and not the legal ones."""
    paper, runs = 701, 1000
    four = [run.score for run in outcomes(PAPER, random, runs)]
    able = [run.score for run in outcomes(PAPER, legal, runs)]
    spread = math.sqrt(fmean((score - fmean(four)) ** 2 for score in four))
    assert abs(fmean(four) - paper) < spread / math.sqrt(10)
    assert fmean(able) - paper > 80
