"""Plays of several turns: rows of a step, histories, illegal replies and credit, with scripted replies."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import TASKS, Listener, completed, grouped
from vlm_gym.trainers import settings
from vlm_gym.trainers.credit.choose import over_turns
from vlm_gym.trainers.credit.turns import CreditTurn, less_mean
from vlm_gym.trainers.grpo import GrpoMethod as Method
from vlm_gym.trainers.learner import Completion
from vlm_gym.trainers.models.encoding import Prompt
from vlm_gym.trainers.plays import Plays
from vlm_gym.trainers.recipe import Grpo, Recipe, Shares, Task
from vlm_gym.trainers.start_states import Start

from vlm_gym.actions import parse_for
from vlm_gym.config import build
from vlm_gym.dice import Dice
from vlm_gym.episode import Episode, held_out
from vlm_gym.registry import find
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.reward import take
from vlm_gym.rollouts.rollout import rollout

FRESH = Shares(fresh=1.0, walk=0.0)


def said(action: str) -> str:
    return f"<answer>{action}</answer>"


def legal(request: Request, place: int) -> str:
    """Make one of the legal moves."""
    words = request.game.legal(request.state)
    return said(words[(request.state.turn + place) % len(words)])


class Scripted:
    """A learner whose completions are scripted, and which keeps what it is asked and given."""

    def __init__(self, reply: Callable[[Request, int], str] = legal) -> None:
        self.reply = reply
        self.asked: list[list[Request]] = []
        self.batches: list[list[Completion]] = []
        self.numbers: list[Mapping[str, Sequence[float]]] = []

    def sample(self, requests: Sequence[Request], n: int) -> list[list[Completion]]:
        self.asked.append(list(requests))
        prompt = Prompt({"input_ids": torch.zeros(1)}, {}, ())
        groups = []
        for at, request in enumerate(requests):
            texts = [self.reply(request, place if n > 1 else at) for place in range(n)]
            groups.append(
                [Completion(request=request, prompt=prompt, ids=[1, 2], text=text) for text in texts]
            )
        return groups

    def update(self, batch: Any, numbers: Any, examples: Any = ()) -> None:
        self.batches.append(list(batch))
        self.numbers.append(numbers)

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


def step(learner: Scripted, tasks: tuple[Task, ...] = TASKS, **asked: Any) -> list[Completion]:
    """Take a step of the method with groups of four."""
    grpo = Grpo(**{"prompts_per_step": 8, "shares": FRESH, "reward": "goal", "scale": "none", **asked})
    recipe = Recipe(task=tasks, grpo=grpo)
    Method(recipe, 4, None).step(learner, range(8))
    return learner.batches[-1]


@pytest.mark.parametrize("turns", ["one", 1, 2, 4, 8])
def test_a_step_has_the_same_number_of_rows_whatever_its_turns_are(turns: Any) -> None:
    learner = Scripted()
    batch = step(learner, turns=turns)
    assert len(batch) == 8 * 4
    assert len(learner.asked) == (1 if turns == "one" else turns)
    games = Counter(each.request.game.name for each in batch)
    assert set(games) == {"2048", "swap"} or turns == 8


def test_games_that_end_make_room_for_the_next_deal_of_their_group() -> None:
    """Swap at level 0 is over within a few moves of its solver."""

    def solved(request: Request, _: int) -> str:
        plan = request.game.solve(request.state)
        assert plan is not None
        return said(plan.action)

    learner = Scripted(solved)
    grpo = Grpo(prompts_per_step=30, turns=30, shares=FRESH, reward="goal")
    recipe = Recipe(task=TASKS[1:], grpo=grpo)
    Method(recipe, 4, None).step(learner, range(30))
    states = [[request.state for request in requests] for requests in learner.asked[1:]]
    assert all(len(set(lanes)) == 1 for lanes in states)  # equal plays go on with equal deals
    begun = [lanes[0] for lanes in states if lanes[0].turn == 0]
    assert len(begun) > 1
    assert len(set(begun)) == len(begun)
    assert not any(lanes[0].over for lanes in states)


def plays(history: int, start: Start, **asked: Any) -> Plays:
    grpo = Grpo(**{"turns": 4, "prompts_per_step": 4, "shares": FRESH, **asked})
    return Plays(grpo, 1, History(history), [0], [start], lambda start, number, deal: start)


@pytest.mark.parametrize("history", [0, 1, 3])
def test_requests_in_training_are_those_of_evaluation_to_the_byte(history: int) -> None:
    class Talker:
        """Replies by its dice, and keeps what it is asked."""

        name = "talker"
        sees = True
        portable = False

        def __init__(self) -> None:
            self.asked: list[Request] = []

        def act(self, requests: Sequence[Request]) -> list[str]:
            self.asked += requests
            return [words(request) for request in requests]

    def words(request: Request) -> str:
        moves = [*request.game.actions(request.state.knobs), "sideways"]
        return f"<think>so</think>{said(Dice(5, request.number).choice(moves))}"

    task = Task(game="2048", reasoning="0", perception="level=2,size=64")
    episode = Episode("2048", "level=2,size=64", "level=0,turns=6", "test")
    talker = Talker()
    list(rollout([episode], talker, history=history))  # type: ignore[arg-type]
    first = talker.asked[0]
    trained = plays(history, Start(0, first._replace(look=task.look)), turns=6)
    for wanted in talker.asked:
        (start,) = trained.next_starts()
        request = start.request
        assert request.messages() == wanted.messages()
        assert all(map(np.array_equal, request.pictures(), wanted.pictures()))
        assert len(request.pictures()) == len(wanted.pictures()) == 1 + len(request.past)
        trained.take([completed(request, words(request))])
    assert max(len(request.past) for request in talker.asked) == history


def test_feedback_names_the_illegal_move_and_what_is_legal() -> None:
    request = TASKS[0].request(find("2048").start(0, TASKS[0].knobs))
    trained = plays(1, Start(0, request))
    (row,) = trained.take([completed(request, said("sideways"))])
    assert row.turn.after == row.turn.state
    (start,) = trained.next_starts()
    (past,) = start.request.past
    assert "'sideways' is not a legal action here; legal:" in past.feedback
    assert past.feedback in str(start.request.messages())


@pytest.mark.parametrize(("illegal", "over"), [("costs", False), ("ends", True)])
def test_an_illegal_reply_costs_a_turn_or_ends_the_play(illegal: str, over: bool) -> None:
    request = TASKS[0].request(find("2048").start(0, TASKS[0].knobs))
    trained = plays(0, Start(0, request), illegal=illegal)
    (row,) = trained.take([completed(request, "left")])
    assert row.turn.over == over
    trained.next_starts()
    (again,) = trained.take([completed(request, "left")])
    assert again.turn.number == (0 if over else 1)
    assert (again.turn.group != row.turn.group) == over


@pytest.mark.parametrize("credit", ["turn", "solver", "return", "gigpo", "graph", "ahead"])
@pytest.mark.parametrize("scale", ["none", "game", "group"])
def test_every_turn_gets_the_advantage_of_its_credit(credit: str, scale: str) -> None:
    learner = Scripted()
    ahead = 2 if credit == "ahead" else 0
    task = Task(
        game="2048", reasoning="2", perception="level=0,size=64"
    )  # which does not end within four turns
    told = {"turn_credit": credit, "ahead": ahead, "discount": 0.5, "scale": scale}
    batch = step(learner, (task, replace(task, perception="level=0,size=96")), turns=4, **told)
    lanes = [batch[at::8] for at in range(8)]  # two groups of four lanes, four turns
    turns, tasks, extra = list[CreditTurn](), list[int](), list[float]()
    for number in range(4):
        for lane, rows in enumerate(lanes):
            completion = rows[number]
            request = completion.request
            reply = parse_for(request.game, request.state, completion.text)
            done = take(request.game, request.state, reply)
            assert completion.grade is not None
            earned = completion.terms["game"]
            extra.append(Grpo().weights["format"] * completion.terms["format"])
            state = request.state
            turns.append(
                CreditTurn(lane // 4, lane, number, state, reply.action, earned, done.state, done.state.over)
            )
            tasks.append([64, 96].index(request.look.size))
    assert not any(turn.over for turn in turns)
    wanted = torch.tensor(over_turns(credit, turns, tasks, 0.5, ahead))
    wanted += torch.tensor(less_mean(extra, [(turn.group, turn.number) for turn in turns]))
    found = torch.stack([each.advantages for each in batch])
    keys = torch.tensor([turn.group for turn in turns] if scale == "group" else tasks)
    if scale != "none":
        for key in keys.unique():
            wanted[keys == key] /= wanted[keys == key].square().mean().sqrt() + 1e-4
    tested = torch.tensor([held_out(find("2048"), turn.state) for turn in turns])  # type: ignore[arg-type]
    assert tested.any()
    wanted[tested] = 0.0
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert found.any()


OVER_TURNS = ("turn", "solver", "return", "gigpo", "graph", "ahead")


def half_solved(request: Request, place: int) -> str:
    """Reply in full form: with the solver's move in two of four plays, with an illegal one in the others."""
    plan = request.game.solve(request.state)
    assert plan is not None
    action = plan.action if place % 4 < 2 else "sideways"
    truth = request.game.scene(request.state).describe()
    return f"<perception>{truth}</perception><think>so</think>{said(action)}"


def credited(credit: str, weights: Mapping[str, float]) -> list[Completion]:
    """Take a step of two groups of plays of eight turns."""
    ahead = 3 if credit == "ahead" else 0
    told = {"turns": 8, "turn_credit": credit, "ahead": ahead, "weights": weights, "prompts_per_step": 16}
    learner = Scripted(half_solved)
    grpo = Grpo(**{"shares": FRESH, "reward": "goal", "scale": "none", **told})
    Method(Recipe(task=TASKS[1:], grpo=grpo), 4, None).step(learner, range(16))
    return learner.batches[-1]


@pytest.mark.parametrize("credit", OVER_TURNS)
def test_what_every_reply_earns_does_not_add_up_over_the_turns_of_a_play(credit: str) -> None:
    without = credited(credit, {"format": 0.0})
    with_form = credited(credit, {"format": 5.0})
    assert all(each.terms["format"] == 1 for each in with_form)
    found = torch.stack([each.advantages for each in with_form])
    wanted = torch.stack([each.advantages for each in without])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("credit", OVER_TURNS)
def test_moves_that_end_the_game_sooner_have_more_credit_than_illegal_replies(credit: str) -> None:
    good, illegal = [], []
    for each in credited(credit, {}):
        assert each.grade is not None
        assert each.advantages is not None
        (good if each.grade.legal else illegal).append(float(each.advantages))
    assert good
    assert illegal
    assert fmean(good) > 0 > fmean(illegal)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"turns": 4, "dynamic_sampling": 1}, r"grpo\.dynamic_sampling is for grpo\.turns=1"),
        ({"turns": 4, "scale": "term"}, r'grpo\.scale="term" is for grpo\.turns=1'),
        ({"turn_credit": "graph"}, r"grpo\.turn_credit='graph' and .* take grpo\.turns of 2 or more"),
        ({"illegal": "ends"}, r"grpo\.illegal='ends' take grpo\.turns of 2 or more"),
        (
            {"reward": "value", "turns": 4, "turn_credit": "graph"},
            r'grpo\.reward="value" is now grpo\.turn_credit="solver"; choose that, or',
        ),
        (
            {"turns": 4, "turn_credit": "ahead", "ahead": 4},
            r"grpo\.ahead=4 is beyond the grpo\.turns=4 of a play",
        ),
        (
            {"turns": "all", "turn_credit": "ahead", "ahead": 1000},
            r"grpo\.ahead=1000 is beyond the \d+ turns that a play of 2048 2 has at most",
        ),
        ({"turns": 4, "ahead": 2}, r'grpo\.ahead takes grpo\.turn_credit="ahead"'),
        (
            {"turns": 4, "turn_credit": "grap"},
            r"grpo\.turn_credit='grap' is not possible .did you mean 'graph'",
        ),
        ({"turns": "some"}, r"grpo\.turns='some' is not possible"),
    ],
)
def test_turns_that_are_not_possible_are_refused_in_one_line(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        build(Recipe, {"task": [{"game": "2048"}], "grpo": asked})
    assert "\n" not in str(error.value)


def test_steps_ahead_end_before_the_turns_of_every_game() -> None:
    asked = {"turns": 8, "turn_credit": "ahead", "ahead": 5}
    task = {"game": "2048", "reasoning": "level=0,turns=5"}
    with pytest.raises(
        ValueError, match=r"grpo\.ahead=5 is beyond the 5 turns that a play of 2048 level=0,turns=5"
    ):
        build(Recipe, {"task": [{"game": "swap"}, task], "grpo": asked})
    build(Recipe, {"task": [{**task, "reasoning": "level=0,turns=6"}], "grpo": asked})


def test_plays_that_do_not_divide_a_step_are_refused_with_the_numbers() -> None:
    recipe = Recipe(task=TASKS, grpo=Grpo(prompts_per_step=12, turns=4, trl={"num_generations": 4}))
    settings.grpo(recipe, Path("out"))
    with pytest.raises(
        ValueError,
        match=r"grpo\.prompts_per_step=12 in 2 processes do not divide into plays of 4 turns; .* 8",
    ):
        settings.grpo(recipe, Path("out"), processes=2)


def test_a_history_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"history=9 is not possible"):
        build(Recipe, {"task": [{"game": "2048"}], "grpo": {}, "history": 9})


def test_all_turns_are_the_longest_limit_of_the_tasks() -> None:
    tasks = tuple(Task(game="2048", reasoning=f"level=0,turns={turns}") for turns in (5, 9))
    assert Recipe(task=tasks, grpo=Grpo(turns="all")).turns == 9


@pytest.mark.parametrize("history", [0, 2])
def test_a_model_learns_from_plays_with_what_was_before(talker: Path, tmp_path: Path, history: int) -> None:
    asked: dict[str, Any] = {"turns": 2, "turn_credit": "graph", "advantage_by": "section", "steps": 2}
    made = grouped(talker, tmp_path, history=history, **asked)
    heard = Listener(made)
    made.go_on(None)
    for line, rows in zip(heard.lines, heard.rows, strict=True):
        assert len(rows) == 16
        first = [row.request.state.turn for row in rows[:8]]  # walks have the turns that led there
        wanted = [min(history, turn) for turn in [*first, *(turn + 1 for turn in first)]]
        assert [len(row.request.past) for row in rows] == wanted
        assert np.isfinite(line["loss"])
        assert line["grad_norm"] > 0
