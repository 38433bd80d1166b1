"""Mazes: plans drawn by hand, a second, plain implementation, and what a player in the fog cannot know."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.maze.plan import DOORS, GOAL, KEYS, WALL, links
from vlm_gym.games.maze.thought import GRAMMAR

from vlm_gym.dice import Dice, mix
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import play_baseline, solver
from vlm_gym.thought import parse_sentence

GAME = find("maze")
MARKS = {
    " ": 0,
    "@": 0,
    "#": WALL,
    "!": GOAL,
    **dict(zip("abc", KEYS, strict=True)),
    **dict(zip("ABC", DOORS, strict=True)),
}
SIDES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
FOG = GAME.settle({"rooms": 5, "loops": 1, "window": 1})


def state_of(*rows: str, window: int = 0):
    """A position drawn by hand: # wall, @ player, ! goal, a to c keys, A to C their doors."""
    text = "".join(rows)
    keys = sum(mark in "abc" for mark in text)
    knobs = GAME.settle({"rooms": len(rows) // 2, "keys": keys, "window": window})
    state = GAME.start(0, knobs)
    walker = text.index("@")
    size = len(rows)
    seen = bytes(
        not window or max(abs(at // size - walker // size), abs(at % size - walker % size)) <= window
        for at in range(size**2)
    )
    plan = bytes(MARKS[mark] for mark in text)
    return type(state)(knobs=knobs, seed=1, plan=plan, walker=walker, seen=seen, origin=walker)


def positions(level, deals: int = 4, turns: int = 30) -> Iterator:
    for index in range(deals):
        state = GAME.start(mix(index) >> 2, GAME.settle(level))
        for turn in range(turns):
            yield state
            legal = GAME.legal(state)
            state = GAME.step(state, legal[mix(100 * index + turn) % len(legal)]).state
            if state.over:
                break


def fewest(words: list[list[str]]) -> int | None:
    """The steps to the goal by breadth first, keys in hand included, from the words of a whole map."""
    player = next((r, c) for r, row in enumerate(words) for c, word in enumerate(row) if word == "player")
    first = (player, frozenset())
    waiting = deque([(first, 0)])
    seen = {first}
    while waiting:
        ((row, col), held), count = waiting.popleft()
        word = words[row][col]
        if word == "goal":
            return count
        for down, right in SIDES.values():
            place = (row + down, col + right)
            there = words[place[0]][place[1]]
            if there == "wall" or (there.endswith("door") and there.split()[0] not in held):
                continue
            then = place, held | {there.split()[0]} if there.endswith("key") else held
            if then not in seen:
                seen.add(then)
                waiting.append((then, count + 1))
    return None


def test_the_player_walks_and_walls_stop_it():
    state = state_of("#####", "#@  #", "### #", "#!  #", "#####")
    assert GAME.legal(state) == ("right",)
    step = GAME.step(state, "right")
    assert GAME.scene(step.state).grid()[1] == ["wall", "-", "player", "-", "wall"]
    with pytest.raises(ValueError, match="legal"):
        GAME.step(state, "down")


def test_the_goal_ends_the_game():
    step = GAME.step(state_of("#####", "# @!#", "### #", "#   #", "#####"), "right")
    assert (step.state.over, GAME.success(step.state), step.score) == (True, True, 1)
    assert GAME.scene(step.state).grid()[1][3] == "player on goal"
    assert GAME.progress(step.state) == 1


def test_a_key_opens_the_door_of_its_colour_alone():
    rows = ("#######", "#a@bA!#", "#######", "#     #", "#######", "#     #", "#######")
    state = state_of(*(row.replace("b", " ") for row in rows))
    state = GAME.step(state, "right").state
    assert GAME.legal(state) == ("left",), "the red door is closed"
    for move in ("left", "left"):
        step = GAME.step(state, move)
        state = step.state
    assert step.score == 1
    assert "red key" in step.event
    assert GAME.scene(state).grid()[1] == ["wall", "player", "-", "-", "-", "goal", "wall"]
    blue = state_of(*(row.replace("a", " ") for row in rows))
    state = GAME.step(blue, "right").state
    assert "right" not in GAME.legal(state), "the blue key opens no red door"


@pytest.mark.parametrize("window", [1, 2, 3])
def test_only_the_window_is_shown(window):
    state = GAME.start(5, GAME.settle({"rooms": 5, "window": window}))
    size = state.knobs.size
    row, col = divmod(state.walker, size)
    for place, word in enumerate(word for line in GAME.scene(state).grid() for word in line):
        near = max(abs(place // size - row), abs(place % size - col)) <= window
        assert (word == "hidden") == (not near)


def test_a_thought_in_the_fog_uses_what_was_shown_before():
    # Two steps to the right the goal was shown; it is covered again, but not forgotten.
    state = state_of("#######", "#  @  #", "# #####", "#    !#", "#######", "#     #", "#######", window=2)
    for move in ("left", "left", "down", "down", "right", "right"):
        state = GAME.step(state, move).state
    assert "goal at (4,6)" in GAME.think(state).steps
    for move in ("left", "left"):
        state = GAME.step(state, move).state
    assert "goal" not in GAME.scene(state).describe()
    assert GAME.think(state).steps == ("player at (4,2)", "goal at (4,6)", "(4,6) from (4,2)")
    assert GAME.think(state).action == "right"


def test_a_thought_follows_the_way_from_turn_to_turn():
    state = state_of("#####", "#@  #", "### #", "#!  #", "#####")
    assert GAME.think(state).steps == (
        "player at (2,2)",
        "goal at (4,2)",
        "(4,2) from (4,4)",
        "(4,4) from (2,4)",
        "(2,4) from (2,2)",
    )
    assert GAME.think(state).action == "right"


def test_steps_conclude_nothing_before_a_line_begins_at_the_player():
    steps = ["player at (2,2)", "goal at (4,4)", "(4,4) from (2,4)", "(2,4) from (2,2)"]
    assert GAME.conclude(steps) == "right"
    assert GAME.conclude(steps[:3]) is None
    assert GAME.conclude(["player at (2,2)", "(3,3) from (2,2)"]) is None, "no straight line"
    assert GAME.conclude(steps[1:]) is None


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_solver_takes_a_shortest_way_on_a_whole_map(level):
    for index in range(12):
        seed = mix(index) >> 2
        state = GAME.start(seed, GAME.levels[level])
        outcome = play_baseline(GAME, state.knobs, seed, solver)
        assert outcome.success
        assert outcome.turns == fewest(GAME.scene(state).grid())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, (1 << 62) - 1), st.integers(4, 6), st.integers(0, 3), st.integers(0, 2))
def test_deals_can_be_solved_and_every_key_is_needed(seed, rooms, loops, keys):
    state = GAME.start(seed, GAME.settle({"rooms": rooms, "loops": loops, "keys": keys}))
    words = GAME.scene(state).grid()
    assert fewest(words) is not None
    for color in ("red", "blue")[:keys]:
        without = [["-" if word == f"{color} key" else word for word in row] for row in words]
        assert fewest(without) is None
    size = state.knobs.size
    open_links = sum(state.plan[link.cell] != WALL for link in links(size))
    assert open_links >= rooms**2 - 1
    assert GAME.progress(state) == 0


@pytest.mark.parametrize("level", [3, 4, FOG])
def test_imagined_mazes_agree_with_all_that_was_seen_and_can_be_solved(level):
    different = 0
    for number, state in enumerate(islice(positions(level), 0, None, 5)):
        other = GAME.imagine(state, Dice(number, 7))
        seen = [(a, b) for a, b, sight in zip(state.plan, other.plan, state.seen, strict=True) if sight]
        assert all(a == b for a, b in seen)
        assert sorted(state.plan) == sorted(other.plan), "as many walls, keys and doors"
        assert GAME.think(other) == GAME.think(state)
        assert GAME.facts(other) == GAME.facts(state)
        different += other.plan != state.plan
        assert play_baseline(GAME, other.knobs, other.seed, solver).turns > 0
        while not other.over and other.turn < 500:
            other = GAME.step(other, GAME.solve(other).action).state
        assert GAME.success(other)
    assert different > 3


@pytest.mark.parametrize("level", range(5))
def test_every_fact_is_true_by_what_was_seen(level):
    for state in islice(positions(level), 0, None, 5):
        size = state.knobs.size
        opened = [KEYS[color] for color in state.held] + [DOORS[color] for color in state.held]
        cells = {
            (place // size + 1, place % size + 1): 0 if cell in opened else cell
            for place, cell in enumerate(state.plan)
            if state.seen[place]
        }
        blocked = {WALL, *DOORS}
        for fact in GAME.facts(state):
            template, words = parse_sentence(fact, GRAMMAR)
            named = [tuple(map(int, word.strip("()").split(","))) for word in words]
            row, col = named[0]
            if template == "player at {cell}":
                assert state.walker == (row - 1) * size + col - 1
            elif template == "goal at {cell}":
                assert cells[row, col] == GOAL
            elif template == "key at {cell}":
                assert cells[row, col] in KEYS
            elif template == "unseen beside {cell}":
                assert cells[row, col] not in blocked
                assert any((row + down, col + right) not in cells for down, right in SIDES.values())
            else:
                start_row, start_col = named[1]
                assert (row == start_row) != (col == start_col)
                for r in range(min(row, start_row), max(row, start_row) + 1):
                    for c in range(min(col, start_col), max(col, start_col) + 1):
                        assert cells[r, c] not in blocked


@pytest.mark.parametrize(
    ("knobs", "words"),
    [({"rooms": 3, "keys": 2}, "keys=2"), ({"rooms": 1}, "rooms=1"), ({"way": 4, "keys": 2}, "keys=2")],
)
def test_impossible_mazes_are_refused_with_the_choices(knobs, words):
    with pytest.raises(ValueError, match=f"{words} is not possible.*takes"):
        GAME.settle(knobs)
