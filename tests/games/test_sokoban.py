"""Sokoban: positions drawn by hand, and a second, plain implementation that walks cell by cell."""

from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.sokoban.thought import GRAMMAR

from vlm_gym.dice import mix
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import play_baseline, solver
from vlm_gym.thought import parse_sentence

GAME = find("sokoban")
Cell = tuple[int, int]
SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def state_of(*rows: str):
    """A position drawn as players of Sokoban do: # wall, $ box, . goal, @ player, * and + on a goal."""
    text = "".join(rows)
    boxes = tuple(place for place, mark in enumerate(text) if mark in "$*")
    knobs = GAME.settle({"size": len(rows), "boxes": 1, "pushes": 1})
    state = GAME.start(0, knobs)
    goals = tuple(place for place, mark in enumerate(text) if mark in ".*+")
    walls = bytes(mark == "#" for mark in text)
    walker = next(place for place, mark in enumerate(text) if mark in "@+")
    return type(state)(
        knobs=knobs, seed=1, walls=walls, goals=goals, boxes=boxes, walker=walker, first=len(rows)
    )


def board(state) -> tuple[set[Cell], set[Cell], set[Cell], Cell]:
    """Walls, boxes, goals and the player, from the words of the scene alone."""
    named = {
        (row, col): word
        for row, line in enumerate(GAME.scene(state).grid(), 1)
        for col, word in enumerate(line, 1)
    }
    found = [
        {cell for cell, word in named.items() if kind(word)}
        for kind in (
            lambda word: word == "wall",
            lambda word: word.startswith("box"),
            lambda word: "goal" in word,
            lambda word: word.startswith("player"),
        )
    ]
    return found[0], found[1], found[2], found[3].pop()


def walks(walls: set[Cell], boxes: set[Cell], player: Cell) -> set[Cell]:
    found = {player}
    waiting = deque([player])
    while waiting:
        row, col = waiting.popleft()
        for down, right in SIDES:
            cell = (row + down, col + right)
            if cell not in walls | boxes | found:
                found.add(cell)
                waiting.append(cell)
    return found


def plain_pushes(walls: set[Cell], boxes: set[Cell], player: Cell) -> Iterator[tuple[Cell, Cell]]:
    near = walks(walls, boxes, player)
    for row, col in boxes:
        for down, right in SIDES:
            to = (row + down, col + right)
            if (row - down, col - right) in near and to not in walls | boxes:
                yield (row, col), to


def name(*cells: Cell) -> str:
    return " ".join(f"({row},{col})" for row, col in cells)


def fewest(state) -> int | None:
    """The pushes of a shortest solution, by breadth first and without any estimate."""
    walls, boxes, goals, player = board(state)
    first = (frozenset(boxes), player)
    waiting = deque([(first, 0)])
    seen = {(first[0], min(walks(walls, boxes, player)))}
    while waiting:
        (now, player), count = waiting.popleft()
        if now == goals:
            return count
        for box, to in plain_pushes(walls, set(now), player):
            then = now - {box} | {to}
            mark = then, min(walks(walls, set(then), box))
            if mark not in seen:
                seen.add(mark)
                waiting.append(((then, box), count + 1))
    return None


def positions(level: int, deals: int = 6) -> Iterator:
    for index in range(deals):
        state = GAME.start(mix(index) >> 2, GAME.levels[level])
        for turn in range(12):
            yield state
            legal = GAME.legal(state)
            state = GAME.step(state, legal[mix(100 * index + turn) % len(legal)]).state
            if state.over:
                break


def test_a_push_moves_the_box_and_the_player_into_its_cell():
    state = state_of("######", "#    #", "#@$ .#", "#    #", "#    #", "######")
    step = GAME.step(state, "(3,3) (3,4)")
    assert GAME.scene(step.state).grid()[2] == ["wall", "-", "player", "box", "goal", "wall"]
    assert (step.score, step.state.over) == (0, False)
    step = GAME.step(step.state, "(3,4) (3,5)")
    assert GAME.scene(step.state).grid()[2] == ["wall", "-", "-", "player", "box on goal", "wall"]
    assert (step.score, step.state.over, GAME.success(step.state)) == (1, True, True)
    assert "all boxes are home" in step.event


def test_the_player_walks_around_but_not_through():
    # (3,3) is pushed from all sides: the player gets everywhere.
    free = state_of("######", "#    #", "#@$ .#", "#    #", "#    #", "######")
    assert GAME.legal(free) == ("(3,3) (2,3)", "(3,3) (3,2)", "(3,3) (3,4)", "(3,3) (4,3)")
    shut = state_of("######", "###  #", "#@$ .#", "###  #", "#    #", "######")
    assert GAME.legal(shut) == ("(3,3) (3,4)",)


def test_a_box_is_not_pushed_into_a_box_or_a_wall():
    state = state_of("######", "#  ..#", "#@$$ #", "#    #", "#    #", "######")
    assert "(3,3) (3,4)" not in GAME.legal(state)
    assert "(3,4) (3,5)" not in GAME.legal(state), "the cell behind it holds a box"
    with pytest.raises(ValueError, match="legal"):
        GAME.step(state, "(3,3) (3,4)")


def test_a_box_in_a_corner_ends_the_game():
    state = state_of("######", "#  $@#", "#    #", "#    #", "#  . #", "######")
    # Along the upper wall it was lost already; in the corner nobody can push it.
    assert GAME.solve(state).value == 0
    step = GAME.step(state_of("######", "#    #", "# $  #", "# @  #", "#  . #", "######"), "(3,3) (2,3)")
    assert (step.state.over, GAME.success(step.state)) == (True, False)
    assert "stuck for good" in step.event


def test_two_boxes_do_not_share_a_goal():
    # Both boxes stand along the left wall, which has one goal only.
    state = state_of("######", "#.   #", "# $  #", "#$@ .#", "#    #", "######")
    step = GAME.step(state, "(3,3) (3,2)") if "(3,3) (3,2)" in GAME.legal(state) else None
    assert step is not None
    assert step.state.over
    assert not GAME.success(step.state)


def test_a_box_may_leave_its_goal_and_the_score_falls():
    state = state_of("######", "#    #", "# @* #", "#   .#", "#  $ #", "######")
    state = GAME.step(state, "(3,4) (3,5)").state
    assert state.score == -1


def test_actions_are_read_with_any_spaces_but_in_their_order():
    state = GAME.start(0, GAME.levels[0])
    assert GAME.read(" ( 3, 2)(3,3) ", state) == "(3,2) (3,3)"
    assert GAME.read("(3,3) (3,2)", state) == "(3,3) (3,2)"
    assert GAME.read("Push it", state) == "push it"


@pytest.mark.parametrize(
    ("knobs", "words"),
    [({"size": 5, "boxes": 2}, "boxes=2"), ({"size": 6, "pushes": 30}, "pushes=30"), ({"size": 4}, "size=4")],
)
def test_impossible_levels_are_refused_with_the_choices(knobs, words):
    with pytest.raises(ValueError, match=f"{words} is not possible.*takes"):
        GAME.settle({"boxes": 1, "pushes": 1, **knobs})


@pytest.mark.parametrize("level", range(5))
def test_legal_pushes_are_those_of_a_second_implementation(level):
    for state in positions(level):
        walls, boxes, _, player = board(state)
        assert set(GAME.legal(state)) == {name(*push) for push in plain_pushes(walls, boxes, player)}


@pytest.mark.parametrize("level", [0, 1, 2])
def test_solutions_are_shortest_and_lost_positions_are_lost(level):
    for state in positions(level):
        count = 0
        wanted = fewest(state)
        assert (GAME.solve(state).value == 0) == (wanted is None)
        while wanted is not None and not state.over:
            state = GAME.step(state, GAME.solve(state).action).state
            count += 1
        assert count == (wanted or 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, (1 << 62) - 1), st.sampled_from([(5, 1, 2), (6, 2, 3), (7, 2, 6), (8, 3, 9)]))
def test_deals_can_be_solved_and_no_box_is_lost_or_added(seed, shape):
    size, boxes, least = shape
    state = GAME.start(seed, GAME.settle({"size": size, "boxes": boxes, "pushes": least, "turns": 60}))
    outcome = play_baseline(GAME, state.knobs, seed, solver)
    assert outcome.success
    assert outcome.turns >= state.first
    walls, found, goals, _ = board(state)
    assert len(found) == len(goals) == boxes
    assert GAME.progress(state) == 0
    edge = {1, size}
    assert {(row, col) for row in range(1, size + 1) for col in edge} <= walls


@pytest.mark.parametrize("level", range(5))
def test_every_fact_is_true_by_a_second_implementation(level):
    for state in positions(level, 3):
        walls, boxes, goals, player = board(state)
        near = walks(walls, boxes, player)
        inner = range(2, state.knobs.size)
        for fact in GAME.facts(state):
            template, words = parse_sentence(fact, GRAMMAR)
            cells = [tuple(map(int, word.strip("()").split(","))) for word in words]
            if template == "{cell} can be reached":
                assert cells[0] in near
            elif template == "to {cell} from {cell}":
                (row, col), (below, right) = cells
                assert abs(row - below) + abs(col - right) == 1
                behind = (2 * below - row, 2 * right - col)
                assert not {*cells, behind} & walls
                assert {*cells[0], *cells[1], *behind} <= set(inner)
            elif template == "box {cell} is home":
                assert cells[0] in boxes & goals
            elif template == "box {cell} waits":
                assert cells[0] in boxes - goals
            elif template == "box {cell} goes to goal {cell}":
                assert cells[0] in boxes
                assert cells[1] in goals
            elif template == "no solution is left":
                assert GAME.solve(state).value == 0


def test_a_thought_follows_the_way_from_the_goal_to_the_box():
    state = state_of("######", "#    #", "#@$ .#", "#    #", "#    #", "######")
    assert GAME.think(state).steps == (
        "box (3,3) goes to goal (3,5)",
        "to (3,5) from (3,4)",
        "to (3,4) from (3,3)",
        "stand at (3,2)",
        "(3,2) can be reached",
    )
    assert GAME.think(state).action == "(3,3) (3,4)"


def test_a_thought_tells_of_the_boxes_before_the_one_that_is_pushed():
    state = state_of("######", "#*   #", "#@$ .#", "#    #", "#    #", "######")
    assert GAME.think(state).steps[:2] == ("box (2,2) is home", "box (3,3) goes to goal (3,5)")


def test_a_stand_that_was_not_reached_concludes_nothing():
    steps = ["to (3,4) from (3,3)", "stand at (3,2)", "(3,2) can be reached"]
    assert GAME.conclude(steps) == "(3,3) (3,4)"
    assert GAME.conclude(steps[:2]) is None
    assert GAME.conclude([*steps[:2], "(4,2) can be reached"]) is None
    assert GAME.conclude(steps[1:]) is None
