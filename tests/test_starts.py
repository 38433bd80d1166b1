"""The positions that GRPO starts from: by weight and by share, fixed by a seed, none of the test stream."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from vlm_gym.trainers.recipe import Grpo, Recipe, Shares, Task
from vlm_gym.trainers.stages.starts import Starts, _shares, draw

from vlm_gym.dice import Dice
from vlm_gym.episode import held_out
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Baseline, Request

TASKS = (
    Task(game="2048", reasoning="0", perception="level=0,size=64", moves=4),
    Task(game="swap", reasoning="0", perception="level=0,size=64", moves=3, weight=2.5),
    Task(game="shisen_sho", reasoning="1", perception="level=0,size=64", moves=3),
)
OWN = Shares(walk=0.0, own=1.0)


def starts(seed: int = 0, tasks: tuple[Task, ...] = TASKS, **settings) -> Starts:
    grpo = Grpo(**{"states": 10, "refresh": 5, "episodes": 2, **settings})
    return Starts(Recipe(seed=seed, task=tasks, grpo=grpo), grpo)


class Noted(Baseline):
    """A player of whom it is known what was shown."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.shown: list[Request] = []

    def act(self, requests):
        self.shown += requests
        return super().act(requests)


def test_every_step_has_its_positions_by_weight_rounded_up_or_down():
    source, total = starts(), Counter()
    for step in range(200):
        counts = Counter(start.task for start in source.deal(step))
        assert sum(counts.values()) == 10
        assert counts[0] in (2, 3)
        assert counts[1] in (5, 6)
        assert counts[2] in (2, 3)
        total += counts
    for task, weight in enumerate((1, 2.5, 1)):
        assert total[task] / 2000 == pytest.approx(weight / 4.5, abs=0.005)


def test_fewer_positions_than_tasks_serve_all_of_them_in_turn():
    source, total = starts(states=1), Counter()
    for step in range(300):
        total.update(start.task for start in source.deal(step))
    assert total.total() == 300
    for task, weight in enumerate((1, 2.5, 1)):
        assert total[task] / 300 == pytest.approx(weight / 4.5, abs=0.1)


def test_a_task_asks_with_its_own_game_level_and_look():
    for start in starts().deal(0):
        task = TASKS[start.task]
        assert start.request.game is find(task.game)
        assert start.request.look == task.look
        assert replace(start.request.state.knobs, reward="progress") == task.knobs


@pytest.mark.parametrize(
    ("reward", "knob"), [("paper", "paper"), ("progress", "progress"), ("value", "progress")]
)
def test_rules_pay_as_the_recipe_asks(reward, knob):
    source = starts(reward=reward)
    source.play(0, *[Baseline("legal")] * 2)
    dealt = [*source.deal(0), *replace_shares(source, OWN).deal(0)]
    assert {start.request.state.knobs.reward for start in dealt} == {knob}


def replace_shares(source: Starts, shares: Shares) -> Starts:
    source._grpo = replace(source._grpo, shares=shares)
    return source


def test_a_step_is_the_same_for_a_seed_and_another_step_seed_or_attempt_differs():
    def states(source, *given):
        return [start.request.state for start in source.deal(*given)]

    first = states(starts(), 3)
    assert states(starts(), 3) == first
    others = states(starts(), 4), states(starts(), 3, 1), states(starts(), 3, 2), states(starts(seed=1), 3)
    assert all(not set(other) & set(first) for other in others)
    assert not set(others[1]) & set(others[2])


def test_kinds_of_play_come_by_their_shares():
    task = TASKS[2]
    source = starts(tasks=(task,), states=200, shares=Shares(fresh=1, walk=3))
    turns = Counter(start.request.state.turn for start in source.deal(0))
    assert turns[0] / 200 == pytest.approx(0.25, abs=0.1)
    assert max(turns) == task.moves
    walked = starts(tasks=(task,), states=50, shares=Shares(solver=1, walk=0)).deal(0)
    assert {start.request.state.turn for start in walked} == set(range(task.moves + 1))


def test_no_position_is_over_or_of_the_test_stream():
    source = starts(states=100, shares=Shares(fresh=1, walk=1, solver=1, own=1))
    source.play(0, *[Baseline("legal")] * 2)
    for step in range(3):
        for game, state in ((start.request.game, start.request.state) for start in source.deal(step)):
            assert not state.over
            assert state.split == "train"
            assert not held_out(game, state)


def test_own_positions_are_those_that_the_policy_met():
    source, policy = starts(shares=OWN, states=60), Noted("legal")
    source.play(0, *[policy] * 2)
    met = {request.state for request in policy.shown}
    dealt = [start.request.state for step in range(3) for start in source.deal(step)]
    assert set(dealt) <= met
    assert len(set(dealt)) > 20
    assert max(state.turn for state in dealt) > max(task.moves for task in TASKS)  # late ones, too


def test_own_positions_count_as_often_as_the_policy_met_them():
    source, policy = starts(shares=OWN, episodes=3), Noted("random")
    policy._player = lambda game, state, dice: "nothing"  # stuck in the deal until the turns are over
    source.play(0, *[policy] * 2)
    for at, states in source._own.items():
        assert set(Counter(states).values()) == {TASKS[at].knobs.turns}
        assert len(set(states)) == 3


@pytest.mark.parametrize(("share", "of_each"), [(0.0, (0, 4)), (0.25, (1, 3)), (1.0, (4, 0))])
def test_a_share_of_its_play_is_greedy(share, of_each):
    source, greedy, sampling = starts(shares=OWN, episodes=4, greedy=share), Noted("solver"), Noted("legal")
    source.play(0, sampling, greedy)
    met = [{request.state for request in policy.shown} for policy in (greedy, sampling)]
    for states, count in zip(met, of_each, strict=True):
        deals = {(type(state), state.seed) for state in states}
        assert len(deals) == count * len(TASKS)
    assert {state for states in source._own.values() for state in states} == met[0] | met[1]


def test_before_the_first_play_its_share_goes_to_the_others():
    shares = Shares(walk=1, own=1)
    mixed, plain = starts(shares=shares), starts(shares=Shares(walk=1))
    assert [start.request.state for start in mixed.deal(0)] == [
        start.request.state for start in plain.deal(0)
    ]
    assert {start.request.state.turn for start in starts(shares=OWN).deal(0)} == {0}  # or to fresh deals


def test_every_play_is_of_new_episodes_and_takes_the_place_of_the_last():
    source, deals = starts(shares=OWN), []
    for step in (0, 5, 10):
        assert source.due <= step
        policy = Noted("legal")
        source.play(step, *[policy] * 2)
        assert source.due == step + 5
        deals.append({request.state.seed for request in policy.shown})
        assert {start.request.state.seed for start in source.deal(step)} <= deals[-1]
    assert [len(seeds) for seeds in deals] == [2 * len(TASKS)] * 3
    assert len(set().union(*deals)) == 6 * len(TASKS)


def test_own_positions_are_kept_beside_a_checkpoint(tmp_path: Path):
    source = starts(shares=OWN)
    source.play(5, *[Baseline("legal")] * 2)
    source.save(tmp_path)
    again = starts(shares=OWN)
    again.load(tmp_path)
    assert again.due == source.due == 10
    assert again.deal(7) == source.deal(7)


def test_positions_are_dealt_before_any_were_kept(tmp_path: Path):
    starts().save(tmp_path)
    again = starts()
    again.load(tmp_path)
    assert again.deal(2) == starts().deal(2)


def test_positions_of_a_task_are_the_same_for_a_seed():
    (task, *_) = TASKS
    first = draw(task, Shares(), 8, 1)
    assert first == draw(task, Shares(), 8, 1) != draw(task, Shares(), 8, 2)
    assert {state.knobs for state in first} == {task.knobs}
    assert {state.knobs.turns for state in draw(task, Shares(), 4, 1, turns="7")} == {7}


def test_shares_that_divide_are_kept_to_whatever_chance_says():
    for seed in range(50):
        assert _shares(7, [0.5, 1, 0, 2], Dice(seed)) == [1, 2, 0, 4]
