"""Plays of a thousand turns take no more memory than plays of a hundred."""

import gc
import tracemalloc

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from vlm_gym.trainers.learner import Completion
from vlm_gym.trainers.models.encoding import Prompt
from vlm_gym.trainers.plays import Plays
from vlm_gym.trainers.recipe import Grpo, Task
from vlm_gym.trainers.rewards import Grade
from vlm_gym.trainers.start_states import Start

from vlm_gym.actions import parse_for
from vlm_gym.registry import find
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.reward import take

LANES = 4
TURNS = 1_000
EARLY = 100
"""Turns after which a play holds all that a request can show of its past."""
GROWTH = 1_000_000
"""Bytes that the games' bounded caches may add."""
LONG = "so " * 300
"""A thought of 900 characters: those of 1,000 turns in all lanes would be 3.6 MB."""


def reply(request: Request, lane: int) -> str:
    """Reply at length with a legal move, and every fourth turn with an illegal one."""
    legal = request.game.legal(request.state)
    illegal = request.number % 4 == 3
    action = "sideways" if illegal else legal[(request.number + lane) % len(legal)]
    return f"<think>{LONG}{request.number}</think><answer>{action}</answer>"


def graded(request: Request, text: str) -> Completion:
    """Make a completion with its step alone: to judge it would fill caches."""
    parsed = parse_for(request.game, request.state, text)
    step = take(request.game, request.state, parsed)
    legal = parsed.action is not None
    grade = Grade(terms={}, legal=legal, exact=False, good=False, action=parsed.action, step=step)
    prompt = Prompt({"input_ids": torch.zeros(1)}, {}, ())
    return Completion(request=request, prompt=prompt, ids=[1], text=text, grade=grade)


@pytest.mark.parametrize(("game", "reasoning"), [("2048", "level=2,turns=2000"), ("memory", "4")])
@pytest.mark.parametrize("history", [0, 8])
def test_a_play_of_a_thousand_turns_holds_no_more_than_its_history(
    game: str, reasoning: str, history: int
) -> None:
    task = Task(game=game, reasoning=reasoning, perception="level=0,size=64")
    first = Start(0, task.request(find(game).start(0, task.knobs)))

    def again(start: Start, number: int, deal: int) -> Start:
        return Start(0, task.request(find(game).start(deal, task.knobs)))

    asked = Grpo(turns=TURNS, turn_credit="graph")
    plays = Plays(asked, LANES, History(history), [0], [first], again)
    held = dict[int, int]()
    tracemalloc.start()
    try:
        for turn in range(1, TURNS + 1):
            requests = [start.request for start in plays.next_starts()]
            plays.take([graded(request, reply(request, lane)) for lane, request in enumerate(requests)])
            del requests
            if turn in (EARLY, TURNS):
                gc.collect()
                held[turn] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert abs(held[TURNS] - held[EARLY]) < GROWTH, held
