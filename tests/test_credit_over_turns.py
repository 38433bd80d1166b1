"""Credit over turns: hand-made numbers for every estimator, and their order of nearness to the truth."""

from typing import NamedTuple

import pytest
from vlm_gym.trainers.credit.choose import over_turns
from vlm_gym.trainers.credit.cosines import cosine_table
from vlm_gym.trainers.credit.estimators import by_lookahead, by_play, by_reply, by_return, by_turn, gigpo
from vlm_gym.trainers.credit.graph import graph, values
from vlm_gym.trainers.credit.leaf_table import cosines
from vlm_gym.trainers.credit.leaves import leaves
from vlm_gym.trainers.credit.turns import CreditTurn, returns_to_go


class Node(NamedTuple):
    """A state with a name; `turn` counts the legal moves that led to it."""

    name: str
    turn: int


START, MIDDLE, LEFT, RIGHT = Node("start", 0), Node("middle", 1), Node("left", 1), Node("end", 2)


def turn(play: int, number: int, state: Node, reward: float, after: Node, over: bool = False) -> CreditTurn:
    action = None if state == after else f"to {after.name}"
    return CreditTurn(0, play, number, state, action, reward, after, over)


def two_ways() -> list[CreditTurn]:
    """Two plays begin at START: one goes by LEFT and earns 1 and 4, the other by MIDDLE and earns 2 and 0."""
    return [
        turn(0, 0, START, 1.0, LEFT),
        turn(0, 1, LEFT, 4.0, RIGHT, over=True),
        turn(1, 0, START, 2.0, MIDDLE),
        turn(1, 1, MIDDLE, 0.0, RIGHT, over=True),
    ]


def test_returns_to_go_are_discounted_sums_of_each_play() -> None:
    assert returns_to_go(two_ways(), 0.5) == [3.0, 4.0, 2.0, 0.0]


def test_a_play_that_breaks_off_is_bootstrapped_and_one_that_is_over_is_not() -> None:
    cut = [turn(0, 0, START, 1.0, LEFT)]
    assert returns_to_go(cut, 0.5, [8.0]) == [5.0]
    ended = [turn(0, 0, START, 1.0, LEFT, over=True)]
    assert returns_to_go(ended, 0.5, [8.0]) == [1.0]


def test_a_turn_is_compared_with_the_other_replies_to_its_state() -> None:
    assert by_turn(two_ways()) == [-0.5, 0.0, 0.5, 0.0]


def test_a_judged_turn_is_compared_with_its_state_or_else_with_its_turn() -> None:
    assert by_reply(two_ways()) == [-0.5, 2.0, 0.5, -2.0]


def test_returns_are_compared_at_the_same_number_of_turns() -> None:
    assert by_return(two_ways(), 1.0) == [1.5, 2.0, -1.5, -2.0]


def test_all_turns_of_a_play_share_its_advantage() -> None:
    assert by_play(two_ways(), 1.0) == [1.5, 1.5, -1.5, -1.5]


def test_gigpo_adds_the_advantage_of_the_step_to_that_of_the_play() -> None:
    # Of the steps, START alone is shared: returns of 5 and 2 there.
    assert gigpo(two_ways(), 1.0) == [1.5 + 1.5, 1.5, -1.5 - 1.5, -1.5]
    assert gigpo(two_ways(), 1.0, weight=0.0) == by_play(two_ways(), 1.0)


def test_steps_ahead_see_what_a_reward_does_not() -> None:
    nothing = [0.0] * 4
    assert by_lookahead(two_ways(), 1.0, 0, nothing)[::2] == [-0.5, 0.5]
    assert by_lookahead(two_ways(), 1.0, 1, nothing)[::2] == [1.5, -1.5]


def test_steps_ahead_end_in_the_value_of_the_state_that_is_reached() -> None:
    last = [10.0, 99.0, 0.0, 99.0]
    assert by_lookahead(two_ways(), 0.5, 0, last)[::2] == [2.0, -2.0]
    # The states after the second turns are over, and have no value.
    assert by_lookahead(two_ways(), 0.5, 5, last)[::2] == [0.5, -0.5]


def test_values_are_backed_up_over_states_that_plays_share() -> None:
    # Both plays come through MIDDLE; one of them earns 4 from there and the other 0.
    turns = [
        turn(0, 0, START, 0.0, MIDDLE),
        turn(0, 1, MIDDLE, 4.0, RIGHT, over=True),
        turn(1, 0, START, 0.0, MIDDLE),
        turn(1, 1, MIDDLE, 0.0, LEFT, over=True),
    ]
    found = values(turns, [0] * 4, 1.0)
    assert found == {(0, MIDDLE): 2.0, (0, START): 2.0}
    # Both first turns led to the same state: neither was better, whatever came of them.
    assert graph(turns, [0] * 4, 1.0) == [0.0, 2.0, 0.0, -2.0]


def test_states_of_two_tasks_are_not_merged() -> None:
    turns = [turn(0, 0, START, 1.0, LEFT, over=True), turn(1, 0, START, 3.0, LEFT, over=True)]
    assert values(turns, [0, 0], 1.0) == {(0, START): 2.0}
    assert values(turns, [0, 1], 1.0) == {(0, START): 1.0, (1, START): 3.0}


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1.0])
def test_an_illegal_reply_is_a_loop_whose_cost_is_solved_exactly(gamma: float) -> None:
    turns = [
        turn(0, 0, START, -1.0, START),
        turn(0, 1, START, 2.0, LEFT, over=True),
        turn(1, 0, START, 2.0, LEFT, over=True),
    ]
    value = values(turns, [0] * 3, gamma)[0, START]
    # The equation itself: the mean over three visits, one of which comes back.
    assert value == pytest.approx((-1.0 + gamma * value + 2.0 + 2.0) / 3)
    illegal, legal, other = graph(turns, [0] * 3, gamma)
    assert illegal < 0 < legal == other
    assert illegal + legal + other == pytest.approx(0.0)


def test_a_state_with_illegal_replies_alone_has_their_mean_return() -> None:
    turns = [turn(0, 0, START, -1.0, START), turn(0, 1, START, -1.0, START)]
    assert values(turns, [0, 0], 1.0) == {(0, START): -1.5}


def test_a_state_that_play_breaks_off_in_has_the_value_of_the_leaf() -> None:
    turns = [turn(0, 0, START, 1.0, LEFT), turn(1, 0, START, 1.0, MIDDLE)]
    assert values(turns, [0, 0], 0.5, [3.0, 5.0]) == {(0, START): 3.0}
    assert graph(turns, [0, 0], 0.5, [3.0, 5.0]) == [-0.5, 0.5]


def test_a_leaf_has_the_value_of_its_other_visits_or_the_mean_of_its_task() -> None:
    turns = [
        turn(0, 0, START, 1.0, LEFT),  # breaks off where another play goes on
        turn(1, 0, LEFT, 6.0, RIGHT, over=True),
        turn(2, 0, MIDDLE, 2.0, RIGHT),  # breaks off where nobody was
    ]
    # V(LEFT) = 6, V(START) = 1 + 0.5 * 6 = 4, V(MIDDLE) = 2 with nothing behind it.
    assert leaves(turns, [0, 0, 0], 0.5) == [6.0, 0.0, (6.0 + 4.0 + 2.0) / 3]
    assert leaves(turns, [0, 0, 1], 0.5) == [6.0, 0.0, 2.0]


@pytest.mark.parametrize("name", ["return", "graph", "ahead"])
def test_plays_that_break_off_are_bootstrapped(name: str) -> None:
    """Play 0 stops before a state that earns another play 8; play 1 stops before one that earns 0."""
    turns = [
        turn(0, 0, START, 1.0, LEFT),
        turn(1, 0, START, 1.0, MIDDLE),
        turn(2, 0, LEFT, 8.0, RIGHT, over=True)._replace(group=1),
        turn(3, 0, MIDDLE, 0.0, RIGHT, over=True)._replace(group=2),
    ]
    assert over_turns(name, turns, [0] * 4, 0.5, 3)[:2] == [2.0, -2.0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swap", "2048"])
def test_leaves_come_nearer_to_the_truth_than_nothing(name: str) -> None:
    """As the documents say: never worse, and where much is cut off clearly better."""
    found = cosines(name, "0", 4, groups=12)
    for estimator in ("return", "graph", "ahead"):
        assert found["other visits"][estimator] > found["nothing"][estimator] - 0.02
    assert found["other visits"]["ahead"] > found["nothing"]["ahead"] + 0.01
    assert found["truth"]["ahead"] >= found["other visits"]["ahead"] - 0.01


@pytest.mark.slow
@pytest.mark.long
def test_estimators_are_as_near_to_the_truth_as_the_documents_say() -> None:
    rows = cosine_table()
    for square in ("swap 0", "shisen_sho 0", "2048 0"):
        # Values backed up over merged states beat the returns of plays as a whole.
        assert rows["graph"][square] > rows["trajectory"][square]
        assert rows["graph"][square] > rows["gigpo"][square] - 0.02
        # A short continuation beats the reward of the turn alone.
        assert rows["ahead = 3, forked"][square] > rows["ahead = 0, forked"][square]
