"""GRPO on positions of games: how groups are scaled and drawn again, and what is told."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import numpy as np
import torch
from talking import LENGTH, TASKS, Listener, asked, drawn, groups, of_attempts, rewards_of, write
from vlm_gym.trainers.learners.trl_learner import TrlLearner
from vlm_gym.trainers.models.encoding import collate_pictures
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import Transformers, encode_requests
from vlm_gym.trainers.recipe import Shares
from vlm_gym.trainers.rewards import grade_completion

from vlm_gym.actions import parse_for
from vlm_gym.episode import held_out
from vlm_gym.evaluation.judge import weigh
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.reward import fork


@pytest.fixture(scope="module")
def stammerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose replies all earn the same, since none is one."""
    folder = tmp_path_factory.mktemp("stammerer")
    build_model(folder, [(task.game, task.reasoning) for task in TASKS], width=64, depth=1)
    return folder


@pytest.mark.parametrize("reward", ["paper", "progress", "value"])
def test_replies_in_training_earn_what_the_recipe_asks(trainer, reward):
    made = trainer(reward=reward)
    batch = drawn(made)
    replies = made.processing_class.batch_decode(batch["completion_ids"], skip_special_tokens=True)
    for row, reply in zip(batch["completions"], replies, strict=True):
        request = row.request
        assert row.grade == grade_completion(request, reply, reward == "value")
        if reward == "paper":
            assert row.grade.terms["game"] in (-1, 1)
        if reward == "value" and row.grade.legal:
            read = parse_for(request.game, request.state, reply)
            assert row.grade.terms["game"] == 1 - weigh(request.game, request.state, read).lost


def test_terms_count_as_much_as_the_recipe_says(trainer):
    made = trainer(weights={"game": 2.0, "format": 0.25, "perception": 3.0})
    rows = drawn(made)["completions"]
    for row in rows:
        terms = row.grade.terms
        wanted = 2 * terms["game"] + 0.25 * terms["format"] + 3 * terms["perception"]
        assert rewards_of(made, [row]) == pytest.approx([wanted])
    reward = sum(rewards_of(made, rows)) / 16
    assert made._metrics["train"]["reward"] == [pytest.approx(reward, abs=1e-6)]


def test_numbers_of_every_game_are_means_over_its_replies(trainer):
    made = trainer(prompts_per_step=6, steps=2)
    heard = Listener(made)
    made.go_on(None)
    assert len(heard.lines) == 2
    for line, rows in zip(heard.lines, heard.rows, strict=True):
        for game in ("2048", "swap"):
            mine = [row for row in rows if row.request.game.name == game]
            for name in ("game", "format", "perception"):
                mean = sum(row.grade.terms[name] for row in mine) / len(mine)
                assert line[f"{game}/{name}"] == pytest.approx(mean, abs=1e-6)
            assert line[f"{game}/legal"] == pytest.approx(sum(row.grade.legal for row in mine) / len(mine))
            dead = [len(set(rewards_of(made, group))) == 1 for group in groups(mine)]
            assert line[f"{game}/zero_advantage"] == pytest.approx(sum(dead) / len(dead))
        dead = [len(set(rewards_of(made, group))) == 1 for group in groups(rows)]
        assert line["frac_reward_zero_std"] == pytest.approx(sum(dead) / len(dead))
    assert {0.0, 1.0} != {line["2048/legal"] for line in heard.lines}


TWICE = {"beta": 0.1, "num_iterations": 2, "epsilon": 1e-3}
"""Two updates for the same replies, the second of which clips."""
TOKENS = {"entropy": "entropy", "kl": "kl", "clip_ratio": "clip_ratio/region_mean"}


def test_games_share_what_is_told_of_all_tokens(trainer):
    made = trainer(prompts_per_step=6, steps=2, trl=TWICE)
    heard = Listener(made)
    made.go_on(None)
    whose = Counter(row.request.game.name for row in heard.rows[0])
    tokens = {game: heard.lines[0][f"{game}/length"] * count for game, count in whose.items()}
    assert sum(tokens.values()) / 24 == pytest.approx(heard.lines[0]["completions/mean_length"])
    for line in heard.lines:
        for name, whole in TOKENS.items():
            total = sum(line[f"{game}/{name}"] * count for game, count in tokens.items())
            assert total / sum(tokens.values()) == pytest.approx(line[whole], rel=1e-4, abs=1e-7), name
    assert all(heard.lines[1][f"2048/{name}"] != heard.lines[1][f"swap/{name}"] for name in TOKENS)


def test_only_a_policy_that_has_learnt_since_it_wrote_is_clipped(trainer):
    for times, clipped in ((1, [False] * 4), (2, [False, True] * 2)):
        made = trainer(steps=4, trl={**TWICE, "num_iterations": times})
        heard = Listener(made)
        made.go_on(None)
        assert [line["clip_ratio/region_mean"] > 0 for line in heard.lines] == clipped
        assert ["swap/length" in line for line in heard.lines] == [not late for late in clipped]


def test_ratios_of_whole_replies_are_those_of_all_their_tokens(trainer):
    made = trainer(tasks=TASKS[:1], steps=2, trl={**TWICE, "importance_sampling_level": "sequence"})
    heard = Listener(made)
    made.go_on(None)
    assert heard.lines[1]["2048/kl"] == pytest.approx(heard.lines[1]["kl"], rel=1e-4)
    assert heard.lines[1]["2048/clip_ratio"] > 0


def test_tasks_of_one_game_share_its_numbers(trainer):
    harder = replace(TASKS[0], reasoning="2")
    made = trainer(tasks=(TASKS[0], harder), prompts_per_step=4)
    heard = Listener(made)
    made.go_on(None)
    assert {name.partition("/")[0] for name in heard.lines[0] if name.endswith("/zero_advantage")} == {"2048"}


def test_a_step_has_groups_of_every_task_by_weight_and_each_is_of_one_position(trainer):
    made = trainer(prompts_per_step=6, steps=3)
    heard = Listener(made)
    made.go_on(None)
    for rows in heard.rows:
        each = [{(row.start.task, row.request.state) for row in group} for group in groups(rows)]
        assert all(len(group) == 1 for group in each)
        assert sorted(task for ((task, _),) in each) == [0] * 2 + [1] * 4
    assert len({row.request.state for rows in heard.rows for row in rows}) == 18


def test_what_is_trained_on_never_is_of_the_test_stream(trainer):
    made = trainer(
        prompts_per_step=6, steps=4, episodes=2, shares=Shares(fresh=1, walk=1, solver=1, on_policy=1)
    )
    heard = Listener(made)
    made.go_on(None)
    for request in (row.request for rows in heard.rows for row in rows):
        assert request.state.split == "train"
        assert not held_out(request.game, request.state)
        assert not request.state.over


@pytest.mark.parametrize("again", [False, True])
def test_groups_without_a_difference_are_drawn_again_with_other_positions(trainer, again):
    torch.manual_seed(0)
    made = trainer(prompts_per_step=8, dynamic_sampling=3, trl={"gradient_checkpointing": again})
    batch = drawn(made)
    dealt, attempts = of_attempts(made, 3), []
    for place, group in enumerate(groups(batch["completions"])):
        (state,) = {row.request.state for row in group}
        attempts.append([start[place].request.state for start in dealt].index(state))
        if attempts[-1] < 3:
            assert not made.method.equal(group)  # only a zero-advantage group is sampled again
    assert 0 in attempts
    assert max(attempts) > 0
    same(made, batch)


def same(made: TrlLearner, batch: dict[str, Any]) -> None:
    """Check that prompts, pictures, replies, rewards and advantages are of the positions in the rows."""
    processor, rows = made.processing_class, batch["completions"]
    requests = [row.request for row in rows]
    shown = encode_requests(processor, requests)
    for name, key in (("input_ids", "prompt_ids"), ("attention_mask", "prompt_mask")):
        assert torch.equal(batch[key], shown[name])
    for row in rows:
        assert np.array_equal(row.prompt.frames, row.request.pictures())
    pictures = collate_pictures([row.prompt for row in rows])
    assert all(torch.equal(pictures[name], shown[name]) for name in ("pixel_values", "image_grid_thw"))
    replies = processor.batch_decode(batch["completion_ids"], skip_special_tokens=True)
    graded = [grade_completion(request, words) for request, words in zip(requests, replies, strict=True)]
    assert [row.grade for row in rows] == graded
    rewards = torch.tensor(rewards_of(made, rows)).view(-1, made.num_generations)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(batch["advantages"], advantages.flatten())


def test_drawing_again_ends_after_as_many_times_as_asked_for(trainer, stammerer):
    made = trainer(stammerer, dynamic_sampling=2)
    batch = drawn(made)
    assert [row.request.state for row in batch["completions"][::4]] == [
        start.request.state for start in of_attempts(made, 2)[2]
    ]
    assert (
        made._metrics["train"]["2048/zero_advantage"]
        == made._metrics["train"]["swap/zero_advantage"]
        == [1.0]
    )
    assert len(made._metrics["train"]["completions/mean_length"]) == 3
    assert not batch["advantages"].any()
    same(made, batch)


def test_nothing_is_drawn_again_unless_asked_for(trainer, stammerer):
    made = trainer(stammerer)
    drawn(made)
    assert len(made._metrics["train"]["completions/mean_length"]) == 1
    assert made._metrics["train"]["frac_reward_zero_std"] == [1.0]


def test_fewer_groups_are_dead_after_drawing_again(trainer):
    def dead(**asked_for: Any) -> int:
        torch.manual_seed(0)
        made = trainer(prompts_per_step=16, **asked_for)
        return sum(map(made.method.equal, groups(drawn(made)["completions"])))

    assert dead() > dead(dynamic_sampling=4)


def test_advantages_scaled_by_game_have_the_same_spread_in_every_task(trainer):
    torch.manual_seed(0)
    made = trainer(prompts_per_step=12, scale="game", weights={"game": 1.0, "format": 0.0})
    batch = drawn(made)
    advantages = batch["advantages"]
    tasks = torch.tensor([row.start.task for row in batch["completions"]])
    rewards = torch.tensor(rewards_of(made, batch["completions"])).view(-1, 4)
    centred = (rewards - rewards.mean(1, keepdim=True)).flatten()
    for task in (0, 1):
        mine = advantages[tasks == task]
        assert mine.square().mean().sqrt() == pytest.approx(1, abs=0.01)
        spread = centred[tasks == task].square().mean().sqrt()
        torch.testing.assert_close(mine, centred[tasks == task] / (spread + 1e-4))
    assert not torch.allclose(*(centred[tasks == task].square().mean() for task in (0, 1)))


def test_advantages_of_groups_are_scaled_by_group_or_not_at_all(trainer):
    for scale in ("group", "none"):
        torch.manual_seed(0)
        made = trainer(prompts_per_step=6, scale=scale)
        batch = drawn(made)
        advantages = batch["advantages"].view(-1, 4)
        rewards = torch.tensor(rewards_of(made, batch["completions"])).view(-1, 4)
        wanted = rewards - rewards.mean(1, keepdim=True)
        if scale == "group":
            wanted = wanted / (rewards.std(1, keepdim=True) + 1e-4)
        torch.testing.assert_close(advantages, wanted)


def test_the_policy_plays_on_by_replies_that_it_writes_in_training(trainer):
    made = trainer(steps=12, prompts_per_step=4, episodes=4, shares=Shares(walk=0, on_policy=1))
    heard = Listener(made)
    made.go_on(None)
    episodes, moved = {}, 0
    for rows in heard.rows:
        for group in groups(rows):
            start, request = group[0].start, group[0].request
            possible, turns = episodes.get((start.task, start.episode), ([request.state], 0))
            led_here = request.state in possible
            assert (
                led_here
                or turns == 0
                or any(held_out(request.game, state) or state.over for state in possible)
            )
            moved += led_here and turns > 0 and request.state.turn > 0
            after = [step.state for step in fork(request.game, request.state, [row.text for row in group])]
            episodes[start.task, start.episode] = after, turns + 1
    assert moved > 3


def asked_thrice() -> list[Request]:
    """Ask for three positions of every task."""
    requests = list[Request]()
    for seed in range(3):
        requests += [asked(task, seed) for task in TASKS]
    return requests


def test_the_policy_in_training_says_what_the_same_model_says_in_evaluation(trainer, talker):
    requests = asked_thrice()
    wanted = Transformers(str(talker), max_tokens=LENGTH, device="cpu").act(requests)
    assert write(trainer(trl={"top_k": 1}), requests) == wanted
    assert write(trainer(), requests) != wanted  # it samples
    assert any(
        parse_for(request.game, request.state, words).action
        for request, words in zip(requests, wanted, strict=True)
    )


def test_beam_search_is_that_of_transformers(trainer):
    requests = asked_thrice()
    made = trainer(trl={"generation_kwargs": {"num_beams": 3, "do_sample": False}})
    inputs = encode_requests(made.processing_class, requests)
    output = made.model.generate(**inputs, num_beams=3, do_sample=False, max_new_tokens=LENGTH)
    replies = output[:, inputs["input_ids"].shape[1] :]
    wanted = made.processing_class.batch_decode(replies, skip_special_tokens=True)
    assert write(made, requests) == wanted


def test_divergence_from_the_first_policy_is_told_and_grows_from_nothing(trainer):
    made = trainer(steps=3, trl={"beta": 0.1})
    heard = Listener(made)
    made.go_on(None)
    kl = [line["kl"] for line in heard.lines]
    assert kl[0] == pytest.approx(0, abs=1e-5)
    assert kl[2] > 1e-4


def test_small_batches_add_up_to_the_same_step(trainer):
    lines = {}
    for micro in (16, 4):
        made = trainer(steps=1, trl={"per_device_train_batch_size": micro, "loss_type": "dr_grpo"})
        heard = Listener(made)
        made.go_on(None)
        (lines[micro],) = heard.lines
        assert made.args.gradient_accumulation_steps == 16 // micro
    for name in ("reward", "loss", "grad_norm", "2048/game", "swap/legal", "swap/length", "2048/entropy"):
        assert lines[4][name] == pytest.approx(lines[16][name], rel=1e-3, abs=1e-5), name


def test_replies_to_several_steps_may_be_written_at_once(trainer):
    made = trainer(steps=4, trl={"per_device_train_batch_size": 16, "steps_per_generation": 2})
    heard = Listener(made)
    made.go_on(None)
    assert [len(rows) for rows in heard.rows] == [32] * 4
    first, second = ({row.request.state for row in heard.rows[at]} for at in (0, 2))
    assert len(first) == len(second) == 8
    assert not first & second


def test_environments_take_a_small_part_of_the_time_that_is_told(trainer):
    made = trainer(steps=2)
    heard = Listener(made)
    made.go_on(None)
    for line in heard.lines:
        spent = {name: line[f"seconds/{name}"] for name in ("environment", "generation", "update")}
        assert min(spent.values()) > 0
        share = spent["environment"] / sum(spent.values())
        assert line["seconds/share_of_environment"] == pytest.approx(share, abs=0.01)
        assert sum(spent.values()) == pytest.approx(line["step_time"], rel=0.3)
