"""The core of the adapters: rows in, pictures and rewards out, as in our own rollouts."""

import asyncio
import base64
import io
import json
from functools import cache

import numpy as np
import pytest
from overhead import LIMIT, ROW, TURNS, added
from PIL import Image

import vlm_gym.adapters.trl
from vlm_gym.adapters.grading import compute_score
from vlm_gym.adapters.play import ENDED, EpisodeInPlay, Row, begin
from vlm_gym.adapters.vagen import VagenEnv
from vlm_gym.episode import Episode
from vlm_gym.prompt import solution
from vlm_gym.rollouts.policy import make
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import dumps


class Recorder:
    """The solver, with a copy of every message that it would be shown."""

    name = "recorder"
    sees = False
    portable = False

    def __init__(self):
        self.solver = make("solver")
        self.shown = []

    def act(self, requests):
        from vlm_gym.rollouts.remote import with_pictures

        self.shown += [with_pictures(request) for request in requests]
        return self.solver.act(requests)


@pytest.mark.parametrize("history", [0, 2])
@pytest.mark.parametrize("game", ["2048", "sokoban"])
def test_an_episode_is_that_of_our_own_rollout(game, history):
    recorder = Recorder()
    turns = list(rollout([Episode(game, "1", "1", "train", 3)], recorder, history=history))
    session = begin({**ROW, "game": game, "history": history, "weights": {"game": 1.0, "format": 0.5}})
    for turn, shown in zip(turns, recorder.shown, strict=True):
        assert session.messages() == shown
        answered = session.answer(turn.reply)
        assert answered.terms == turn.rewards
        assert answered.reward == turn.rewards["game"] + 0.5 * turn.rewards["format"]
        assert answered.feedback == (turn.error or turn.event)
        assert (answered.terminated, answered.truncated) == (turn.terminated, turn.truncated)
    assert session.ended
    assert session.success == turns[-1].success


def test_members_of_a_group_start_alike_and_other_rows_do_not():
    first, second = begin(ROW), begin(dict(ROW))
    assert first.message() == second.message()
    assert begin({**ROW, "index": 4}).url() != first.url()
    assert begin({**ROW, "split": "test"}).url() != first.url()


def test_a_picture_is_the_same_in_every_form():
    session = begin(ROW)
    session.answer("nothing")
    content = session.message()["content"]
    assert content[0]["image_url"]["url"] == session.url()
    decoded = Image.open(io.BytesIO(base64.b64decode(session.url().partition(",")[2])))
    assert np.array_equal(np.asarray(decoded), session.frame())
    assert np.array_equal(np.asarray(session.image()), session.frame())
    assert content[1]["text"] == "no <answer>...</answer> in the reply"


@pytest.mark.parametrize("reply", [None, 3, b"<answer>left</answer>", ["left"], "", "<answer>fly</answer>"])
def test_a_reply_that_cannot_be_played_is_a_turn_lost(reply):
    session = begin(ROW)
    before = session.run.state
    answered = session.answer(reply)
    assert answered.reward < 0
    assert answered.feedback
    assert "\n" not in answered.feedback
    assert not answered.legal
    assert not answered.done
    assert session.run.state == before
    assert session.answer(f"<answer>{session.run.legal[0]}</answer>").legal


def test_a_reply_after_the_end_changes_nothing():
    session = begin({**ROW, "turns": 1})
    last = session.answer(f"<answer>{session.run.legal[0]}</answer>")
    assert (last.terminated, last.truncated) == (False, True)
    state = session.run.state
    again = session.answer(f"<answer>{session.run.legal[0]}</answer>")
    assert (again.reward, again.done, again.feedback) == (0.0, True, ENDED)
    assert session.run.state == state
    assert len(session.rewards) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"game": None}, "the row has no 'game'"),
        ({"game": "2049"}, "did you mean '2048'"),
        ({"game": 2048}, "not text"),
        ({"perception": 9}, "unknown perception level"),
        ({"reasoning": "level=1,bogus=2"}, "unknown reasoning knob"),
        ({"split": "validation"}, "it takes train, test, free"),
        ({"index": -1}, "not a whole number"),
        ({"index": 1.5}, "not a whole number"),
        ({"turns": 0}, "not a whole number"),
        ({"history": -1}, "not a whole number"),
        ({"weights": {"luck": 1}}, "unknown reward term 'luck'"),
        ({"weights": {"game": float("nan")}}, "not a finite number"),
        ({"weights": "game"}, "not an object"),
    ],
)
def test_a_row_that_is_not_possible_is_one_line(change, words):
    with pytest.raises(ValueError, match=words) as caught:
        begin({**ROW, **change})
    assert "\n" not in str(caught.value)


def test_a_row_may_hold_numbers_of_numpy_and_keys_of_the_trainer():
    row = {**ROW, "index": np.int64(3), "perception": np.int32(1), "turns": None, "prompt": [], "uid": "a"}
    assert Row.read(row) == Row.read(ROW)


@cache
def thoughts():
    """Replies that describe the board and think, and play the first legal action, as `our_turns` does."""
    session = begin(ROW)
    replies = []
    for _ in range(TURNS):
        said, _, _ = solution(session.run.game, session.run.state).partition("<answer>")
        reply = f"{said}<answer>{session.run.legal[0]}</answer>"
        session.answer(reply)
        replies.append(reply)
    return replies


def in_one_message(row, show=EpisodeInPlay.message):
    session = begin(row)

    def turn():
        session.answer(f"<answer>{session.run.legal[0]}</answer>")
        show(session)

    return turn


def with_a_history(row):
    return in_one_message(row, EpisodeInPlay.messages)


def with_a_thought_to_grade(row):
    session = begin(row)
    replies = iter(thoughts())

    def turn():
        session.answer(next(replies))
        session.message()

    return turn


def by_a_tool_of_trl(row):
    environment = vlm_gym.adapters.trl.environment(row["game"])()
    environment.reset(**row)
    return lambda: environment.play(environment._session.run.legal[0])


def under_vagen(row):
    environment = VagenEnv(row)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(environment.reset())

    def turn():
        reply = f"<answer>{environment._session.run.legal[0]}</answer>"
        loop.run_until_complete(environment.step(reply))

    return turn


def graded_for_easyr1(row):
    session = begin(row)

    def turn():
        reply = f"<answer>{session.run.legal[0]}</answer>"
        state = json.loads(dumps(session.run.state))
        position = json.dumps({"game": row["game"], "state": state})
        compute_score([{"ground_truth": position, "response": reply}])
        session.answer(reply)
        session.url()

    return turn


@pytest.mark.parametrize(
    ("begin_turns", "history"),
    [
        (in_one_message, 0),
        (with_a_history, 8),
        (with_a_thought_to_grade, 0),
        (by_a_tool_of_trl, 0),
        (under_vagen, 0),
        (graded_for_easyr1, 0),
    ],
)
def test_an_adapter_adds_less_than_a_millisecond_to_a_turn(begin_turns, history):
    row = {**ROW, "history": history}
    assert added(begin_turns.__name__, begin_turns, row, first=history) < LIMIT


def test_a_session_keeps_the_pictures_of_its_history_alone():
    session = begin({**ROW, "history": 2})
    for _ in range(6):
        session.messages()
        session.answer(f"<answer>{session.run.legal[0]}</answer>")
        assert len(session._urls) <= 2
    begun = begin({**ROW, "history": 2})
    for turn in session.turns:
        begun.answer(turn.reply)
    assert begun.messages() == session.messages(), "pictures that were not asked for before are drawn"
