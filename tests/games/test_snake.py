"""Snake: positions drawn by hand, and a second, plain implementation that moves cell by cell."""

from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_gym.games.snake.deal import feed
from vlm_gym.games.snake.field import reached

from vlm_gym.dice import Dice, mix
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import play_baseline, solver

GAME = find("snake")
SIDES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
Cell = tuple[int, int]


def state_of(*rows: str, ticks: int = 1, goal: int = 5):
    """A position drawn by hand: # wall, * food, and the snake from its head on as a, b, c, ..."""
    text = "".join(rows)
    knobs = GAME.settle({"size": len(rows), "ticks": ticks, "goal": goal})
    length = sum(mark.isalpha() for mark in text)
    snake = tuple(text.index(chr(ord("a") + part)) for part in range(length))
    walls = bytes(mark == "#" for mark in text)
    return type(GAME.start(0, knobs))(
        knobs=knobs, seed=1, walls=walls, snake=snake, food=text.index("*"), far=9
    )


def positions(level: int, deals: int = 4) -> Iterator:
    for index in range(deals):
        state = GAME.start(mix(index) >> 2, GAME.levels[level])
        for turn in range(30):
            yield state
            plan = GAME.solve(state).action
            legal = GAME.legal(state)
            lost = mix(100 * index + turn)
            state = GAME.step(state, legal[lost % len(legal)] if lost % 5 == 0 else plan).state
            if state.over:
                break


def board(state) -> tuple[set[Cell], list[Cell], Cell | None]:
    """Walls, the snake from its head on, and the food, from the words of the scene alone."""
    words = {
        (row, col): word
        for row, line in enumerate(GAME.scene(state).grid())
        for col, word in enumerate(line)
        if word != "-"
    }
    walls = {cell for cell, word in words.items() if word == "wall"}
    head = next(cell for cell, word in words.items() if word == "head")
    snake = [head]
    while True:
        behind = [
            cell
            for cell, word in words.items()
            if word.endswith("arrow")
            and cell not in snake
            and snake[-1] == tuple(map(sum, zip(cell, SIDES[word.split()[1]], strict=True)))
        ]
        # More than one arrow can point at a cell only if the snake crosses itself.
        assert len(behind) <= 1
        if not behind:
            break
        snake += behind
    food = [cell for cell, word in words.items() if word == "food"]
    return walls, snake, food[0] if food else None


def plain(state, action: str) -> tuple[list[Cell], bool, bool]:
    """The snake after a turn, whether it ate, and whether it crashed."""
    walls, snake, food = board(state)
    size = state.knobs.size
    ate = False
    for _ in range(state.knobs.ticks):
        head = (snake[0][0] + SIDES[action][0], snake[0][1] + SIDES[action][1])
        eats = head == food and not ate
        body = snake if eats else snake[:-1]
        if head in walls or head in body or not (0 <= head[0] < size and 0 <= head[1] < size):
            return snake, ate, True
        snake = [head, *body]
        ate = ate or eats
        if state.score + ate >= state.knobs.goal:
            break
    return snake, ate, False


def test_the_snake_moves_and_its_body_points_to_its_head():
    state = state_of(".....", ".cba.", ".....", "...*.", ".....")
    assert GAME.scene(state).grid()[1] == ["-", "green right arrow", "green right arrow", "head", "-"]
    after = GAME.step(state, "down").state
    assert GAME.scene(after).grid()[1] == ["-", "-", "green right arrow", "green down arrow", "-"]
    assert GAME.scene(after).grid()[2][3] == "head"


def test_food_makes_the_snake_longer_and_comes_anew_on_an_empty_cell():
    step = GAME.step(state_of(".....", ".cba*", ".....", ".....", "....."), "right")
    assert (step.score, len(step.state.snake), step.state.over) == (1, 4, False)
    assert step.state.food not in step.state.snake
    assert "eats" in step.event


def test_the_last_food_wins():
    step = GAME.step(state_of(".....", ".cba*", ".....", ".....", ".....", goal=1), "right")
    assert (step.state.over, GAME.success(step.state), GAME.progress(step.state)) == (True, True, 1)


@pytest.mark.parametrize(
    ("rows", "action"),
    [
        (("..cba", "*....", ".....", ".....", "....."), "right"),
        ((".....", "*cba#", ".....", ".....", "....."), "right"),
        (("*....", ".ghi.", ".fab.", ".edc.", "....."), "left"),
    ],
)
def test_an_edge_a_wall_and_the_own_body_end_the_game(rows, action):
    state = state_of(*rows)
    step = GAME.step(state, action)
    assert (step.state.over, GAME.success(step.state)) == (True, False)
    assert "crashes" in step.event
    assert step.state.snake == state.snake


def test_the_tail_leaves_in_time_unless_the_snake_eats():
    state = state_of("*....", ".ab..", ".dc..", ".....", ".....")
    step = GAME.step(state, "down")
    assert not step.state.over, "the tail has left its cell"


def test_the_snake_cannot_turn_back():
    state = state_of(".....", ".cba.", ".....", "...*.", ".....")
    assert GAME.legal(state) == ("up", "right", "down")
    with pytest.raises(ValueError, match="legal"):
        GAME.step(state, "left")


def test_a_turn_takes_as_many_cells_as_the_knob_says():
    rows = (".......", ".cba*..", ".......", ".......", ".......", ".......", ".......")
    step = GAME.step(state_of(*rows, ticks=2), "right")
    assert board(step.state)[1] == [(1, 5), (1, 4), (1, 3), (1, 2)]
    assert step.score == 1, "food on the way is eaten"
    rows = (".......", "...cba.", ".......", "*......", ".......", ".......", ".......")
    assert GAME.step(state_of(*rows, ticks=2), "right").state.over, "the second cell lies beyond the edge"


@pytest.mark.parametrize("level", range(5))
def test_turns_are_those_of_a_second_implementation(level):
    for state in positions(level):
        for action in GAME.legal(state):
            snake, ate, crashed = plain(state, action)
            after = GAME.step(state, action).state
            assert board(after)[1] == snake
            assert (after.score - state.score, after.crashed) == (ate, crashed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, (1 << 62) - 1), st.sampled_from([(7, 1), (8, 2), (9, 2), (9, 3)]))
def test_food_comes_only_where_the_head_can_get_to(seed, shape):
    size, ticks = shape
    knobs = GAME.settle({"size": size, "ticks": ticks, "walls": 3, "goal": 3, "turns": 200})
    state = GAME.start(seed, knobs)
    walls, snake, food = board(state)
    heads = {snake[0]}
    waiting = deque(heads)
    passed = set()
    while waiting:
        row, col = waiting.popleft()
        for down, right in SIDES.values():
            cells = [(row + down * count, col + right * count) for count in range(1, ticks + 1)]
            if all(0 <= r < size and 0 <= c < size and (r, c) not in walls for r, c in cells):
                passed |= set(cells)
                if cells[-1] not in heads:
                    heads.add(cells[-1])
                    waiting.append(cells[-1])
    assert food in passed


def test_no_food_comes_in_a_blind_alley():
    """Two cells a turn: in the last column, walls stop the snake at every turn to the left."""
    rows = (".........", "..c...#..", "..b......", "..a....#.", ".........", "......#..", *["........."] * 2)
    state = state_of(*rows, "*........", ticks=2)
    column = {row * 9 + 8 for row in range(9)}
    free = reached(state.field, state.snake[0], frozenset())
    assert column & set(free) == {row * 9 + 8 for row in range(1, 8)}
    food = {feed(state.field, state.snake, Dice(seed)) for seed in range(500)}
    assert not column & food
    assert len(food) > 20


def test_a_thought_looks_at_all_directions_and_takes_the_nearest_food():
    thought = GAME.think(state_of(".....", ".cba.", ".....", "...*.", "....."))
    assert thought.steps == ("up eats in 6", "right eats in 4", "down eats in 2", "left turns back")
    assert thought.action == "down"


def test_the_snake_does_not_eat_what_shuts_it_in():
    # The food lies in a dead end of one cell.
    state = state_of("*#....", "a#....", "bcd...", "......", "......", "......")
    thought = GAME.think(state)
    assert thought.steps[0] == "up is shut in"
    assert thought.action == "up", "all others crash or turn back"
    open_way = state_of("*#....", ".#....", "abc...", "......", "......", "......")
    assert GAME.think(open_way).action == "down"


def test_directions_conclude_nothing_until_all_four_are_known():
    steps = ["up eats in 4", "right crashes", "down eats in 2", "left turns back"]
    assert GAME.conclude(steps) == "down"
    assert GAME.conclude(steps[:3]) is None
    assert GAME.conclude(["up crashes", "right crashes", "down is shut in", "left turns back"]) == "down"
    assert GAME.conclude([f"{move} turns back" for move in SIDES]) is None


def test_the_solver_wins_most_games_of_the_middle_level():
    games = [play_baseline(GAME, GAME.levels[2], mix(seed) >> 2, solver) for seed in range(12)]
    assert sum(game.success for game in games) >= 11


def test_a_person_who_waits_goes_straight_on():
    state = state_of(".....", ".cba.", ".....", "...*.", ".....")
    assert GAME.idle(state) == "right"
    assert GAME.idle(GAME.step(state, "down").state) == "down"


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"size": 5, "goal": 20}, "goal=20"),
        ({"size": 5, "walls": 5}, "walls=5"),
        ({"size": 5, "ticks": 2}, "ticks=2"),
    ],
)
def test_impossible_fields_are_refused_with_the_choices(knobs, words):
    with pytest.raises(ValueError, match=f"{words} is not possible.*takes"):
        GAME.settle({"goal": 3, **knobs})
