"""The positions that GRPO starts from: by weight and by share, fixed by a seed, none of the test stream."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from vlm_gym.trainers.recipe import Grpo, Recipe, Shares, Task
from vlm_gym.trainers.start_states import Start, StartStates, _shares, draw_positions

from vlm_gym.dice import Dice
from vlm_gym.episode import Episode, held_out
from vlm_gym.game import State
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.reward import fork

TASKS = (
    Task(game="2048", reasoning="0", perception="level=0,size=64", moves=4),
    Task(game="swap", reasoning="0", perception="level=0,size=64", moves=3, weight=2.5),
    Task(game="shisen_sho", reasoning="1", perception="level=0,size=64", moves=3),
)
OWN = Shares(walk=0.0, on_policy=1.0)


def starts(seed: int = 0, tasks: tuple[Task, ...] = TASKS, **settings) -> StartStates:
    grpo = Grpo(**{"prompts_per_step": 10, "episodes": 12, **settings})
    return StartStates(Recipe(seed=seed, task=tasks, grpo=grpo), grpo)


def answered(source: StartStates, step: int, *players: str) -> list[Start]:
    """Deal a step and let the policy reply to each position, once as each player."""
    dealt = source.deal(step)
    replies = [[Baseline(player).act([start.request])[0] for player in players] for start in dealt]
    source.follow(list(zip(dealt, replies, strict=True)))
    return dealt


def states_of(dealt: list[Start]) -> list[State]:
    return [start.request.state for start in dealt]


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
    source, total = starts(prompts_per_step=1), Counter()
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
        assert replace(start.request.state.knobs, reward=task.knobs.reward) == task.knobs


@pytest.mark.parametrize(
    ("reward", "knob"), [("paper", "paper"), ("goal", "goal"), ("progress", "progress"), ("value", "goal")]
)
def test_rules_pay_as_the_recipe_asks(reward, knob):
    for shares in (Shares(), OWN):
        source = starts(reward=reward, shares=shares)
        dealt = [state for step in range(3) for state in states_of(answered(source, step, "legal"))]
        assert {state.knobs.reward for state in dealt} == {knob}


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
    source = starts(tasks=(task,), prompts_per_step=200, shares=Shares(fresh=1, walk=3))
    turns = Counter(start.request.state.turn for start in source.deal(0))
    assert turns[0] / 200 == pytest.approx(0.25, abs=0.1)
    assert max(turns) == task.moves
    walked = starts(tasks=(task,), prompts_per_step=50, shares=Shares(solver=1, walk=0)).deal(0)
    assert {start.request.state.turn for start in walked} == set(range(task.moves + 1))


def test_no_position_is_over_or_of_the_test_stream():
    source = starts(prompts_per_step=60, episodes=40, shares=Shares(fresh=1, walk=1, solver=1, on_policy=3))
    for step in range(20):
        for game, state in (
            (start.request.game, start.request.state) for start in answered(source, step, "legal")
        ):
            assert not state.over
            assert state.split == "train"
            assert not held_out(game, state)


def test_own_positions_are_those_that_its_replies_lead_to():
    source = starts(shares=OWN)
    for number in range(30):
        dealt = answered(source, number, "solver")
        lanes = [source._episodes[start.task][start.episode] for start in dealt]
        for (_, request, _), lane in zip(dealt, lanes, strict=True):
            (step,) = fork(request.game, request.state, Baseline("solver").act([request]))
            begun, moved_on = lane.turns == 0, held_out(request.game, step.state)
            assert begun or moved_on or lane.state == step.state
        assert len({(start.task, start.episode) for start in dealt}) == 10
    assert max(state.turn for state in states_of(dealt)) > max(task.moves for task in TASKS)  # late ones, too


def test_a_policy_that_is_stuck_meets_the_position_until_its_turns_are_over():
    (task,) = tasks = (Task(game="2048", reasoning="level=0,turns=3", perception="level=0,size=64"),)
    source, met = starts(tasks=tasks, prompts_per_step=2, episodes=2, shares=OWN), Counter()
    for step in range(12):
        dealt = source.deal(step)
        source.follow([(start, ["nothing"]) for start in dealt])
        met.update(states_of(dealt))
    assert set(met.values()) == {task.knobs.turns}
    assert len(met) == 2 * 12 / task.knobs.turns


@pytest.mark.parametrize(("share", "usual"), [(0.0, 0), (0.25, 1), (1.0, 4)])
def test_a_share_of_its_episodes_goes_on_by_what_most_replies_say(share, usual):
    source = starts(tasks=TASKS[:1], prompts_per_step=4, episodes=4, shares=OWN, greedy=share)
    dealt, after = source.deal(0), []
    replies = []
    for _, request, _ in dealt:
        one, most, *_ = request.game.legal(request.state)
        after.append([request.game.step(request.state, action).state for action in (one, most)])
        replies.append([f"<answer>{action}</answer>" for action in (one, most, most)])
    source.follow(list(zip(dealt, replies, strict=True)))
    lanes = [source._episodes[0][start.episode] for start in dealt]
    went = [[lane.state == state for state in pair] for lane, pair in zip(lanes, after, strict=True)]
    assert sum(most for _, most in went) <= usual
    assert sum(one for one, _ in went) <= 4 - usual
    held = sum(held_out(find("2048"), state) for pair in after for state in pair)
    assert sum(map(sum, went)) >= 4 - held


def test_of_replies_to_several_steps_at_once_the_first_moves_an_episode_on():
    source = starts(tasks=TASKS[:1], prompts_per_step=1, episodes=1, shares=OWN)
    (first,), (second,) = source.deal(0), source.deal(1)
    assert states_of([first]) == states_of([second])
    legal = Baseline("legal").act([first.request])
    source.follow([(first, legal)])
    lane = source._episodes[0]
    source.follow([(second, legal)])
    assert source._episodes[0] == lane


def test_more_positions_than_episodes_are_dealt_anew():
    source = starts(tasks=TASKS[:1], prompts_per_step=10, episodes=4, shares=OWN)
    dealt = source.deal(0)
    assert sorted(start.episode for start in dealt if start.episode is not None) == [0, 1, 2, 3]
    assert len(set(states_of(dealt))) == 10


def test_episodes_are_of_the_training_stream_and_each_is_played_once():
    source = starts(shares=OWN, episodes=4)
    begun = set[tuple[int, int]]()
    for step in range(40):
        answered(source, step, "solver")
        for at, episodes in enumerate(source._episodes):
            begun.update((at, episode.number) for episode in episodes)
    for at, task in enumerate(TASKS):
        numbers = sorted(number for task, number in begun if task == at)
        assert len(numbers) > 8
        assert {number % 4 for number in numbers} == {0, 1, 2, 3}
        deals = [Episode(task.game, "0", task.reasoning, "train", number).seed for number in numbers]
        assert len(set(deals)) == len(deals)


def test_its_episodes_are_kept_beside_a_checkpoint(tmp_path: Path):
    source = starts(shares=OWN)
    for step in range(5):
        answered(source, step, "legal")
    source.save(tmp_path)
    again = starts(shares=OWN)
    assert again.deal(7) != source.deal(7)
    again.load(tmp_path)
    assert again.deal(7) == source.deal(7)


def test_positions_are_dealt_before_any_were_kept(tmp_path: Path):
    starts().save(tmp_path)
    again = starts()
    again.load(tmp_path)
    assert again.deal(2) == starts().deal(2)


def test_positions_of_a_task_are_the_same_for_a_seed():
    (task, *_) = TASKS
    first = draw_positions(task, Shares(), 8, 1)
    assert first == draw_positions(task, Shares(), 8, 1) != draw_positions(task, Shares(), 8, 2)
    assert {position.state.knobs for position in first} == {task.knobs}
    assert {position.state.knobs.turns for position in draw_positions(task, Shares(), 4, 1, turns="7")} == {7}


def test_shares_that_divide_are_kept_to_whatever_chance_says():
    for seed in range(50):
        assert _shares(7, [0.5, 1, 0, 2], Dice(seed)) == [1, 2, 0, 4]
