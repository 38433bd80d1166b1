"""Models behind a server: a real endpoint on this machine, with its good days and its bad ones."""

import base64
import io
import pickle
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endpoints import Answer, said
from PIL import Image

from vlm_gym.envs.single import GameEnv
from vlm_gym.episode import Episode
from vlm_gym.prompt import instructions
from vlm_gym.recordings.record import read
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.collect import collect
from vlm_gym.rollouts.policy import PastTurn, Refusal, Request, make
from vlm_gym.rollouts.remote import OpenAI
from vlm_gym.rollouts.rollout import rollout


def request(seed: int = 3, perception: int = 0, past: tuple[PastTurn, ...] = ()) -> Request:
    game = find("2048")
    knobs = game.levels[2]
    return Request(game, game.start(seed, knobs), look(perception), 0, instructions(game, knobs), past)


def pictures(body: dict[str, Any]) -> list[np.ndarray]:
    urls = [
        block["image_url"]["url"]
        for message in body["messages"]
        for block in message["content"]
        if block["type"] == "image_url"
    ]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))) for url in urls]


@pytest.mark.parametrize("perception", [0, 4])
def test_the_model_gets_the_very_picture_and_words_of_the_environment(endpoint: Any, perception: int) -> None:
    server = endpoint(lambda body: said("<answer>left</answer>"))
    policy = make("openai:m", base_url=server.url, dollars_in=3.0, dollars_out=15.0)
    (reply,) = policy.act([request(3, perception)])
    assert reply == "<answer>left</answer>"
    env = GameEnv("2048", perception=perception, reasoning=2)
    observation, _ = env.reset(seed=3)
    assert np.array_equal(pictures(server.asked[0])[0], observation)
    assert server.asked[0]["messages"][0]["content"][1]["text"] == instructions(env.game, env.knobs)
    assert reply.usage["tokens"] == 50
    assert reply.usage["dollars"] == pytest.approx(0.003 + 0.00075)
    assert reply.usage["seconds"] >= 0


def test_turns_before_come_with_their_pictures_in_their_places(endpoint: Any) -> None:
    server = endpoint(lambda body: said("<answer>up</answer>"))
    before, now = request(1), request(2)
    past = (PastTurn(before.state, "<answer>down</answer>", "down scored 0 points"),)
    OpenAI("m", base_url=server.url).act([now._replace(past=past)])
    roles = [message["role"] for message in server.asked[0]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert np.array_equal(np.stack(pictures(server.asked[0])), np.stack([before.picture(), now.picture()]))


def test_replies_come_back_in_order_and_no_more_are_under_way_than_allowed(endpoint: Any) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        board = pictures(body)[0]
        time.sleep(0.02 + board.mean() % 1 / 10)
        return said(str(board.sum()))

    server = endpoint(answer)
    asked = [request(seed) for seed in range(12)]
    replies = OpenAI("m", base_url=server.url, concurrency=3).act(asked)
    assert replies == [str(each.picture().sum()) for each in asked]
    assert server.most_at_once <= 3


def test_a_rate_limit_is_kept(endpoint: Any) -> None:
    server = endpoint(lambda body: said("x"))
    start = time.monotonic()
    OpenAI("m", base_url=server.url, per_minute=600).act([request(seed) for seed in range(6)])
    assert time.monotonic() - start >= 0.5  # six requests, a tenth of a second apart


def test_a_server_is_told_how_to_decode_and_a_seed_where_there_is_chance(endpoint: Any) -> None:
    server = endpoint(lambda body: said("x"))
    OpenAI("m", base_url=server.url, max_tokens=9, seed=4).act([request()])
    OpenAI("m", base_url=server.url, temperature=0.5, seed=4).act([request()])
    told = [{name: body.get(name) for name in ("temperature", "max_tokens", "seed")} for body in server.asked]
    assert told == [
        {"temperature": 0.0, "max_tokens": 9, "seed": None},
        {"temperature": 0.5, "max_tokens": 1024, "seed": 4},
    ]


def reasoning(body: dict[str, Any]) -> tuple[int, Any]:
    """Answer as OpenAI's models do that reason first: they name one option at a time that is not for them."""
    refused = {
        "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the "
        "default (1) value is supported.",
    }
    for name, words in refused.items():
        if name in body:
            return 400, {"error": {"message": words, "type": "invalid_request_error", "param": name}}
    return said("<answer>left</answer>")


def test_a_model_that_reasons_is_asked_as_it_takes_it_and_this_is_told_once(
    endpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = endpoint(reasoning)
    policy = OpenAI("m", base_url=server.url, max_tokens=9, concurrency=3)
    assert policy.act([request(seed) for seed in range(6)]) == ["<answer>left</answer>"] * 6
    before = len(server.asked)
    assert policy.act([request()]) == ["<answer>left</answer>"]
    (last,) = server.asked[before:]
    assert last["max_completion_tokens"] == 9
    assert not {"max_tokens", "temperature"} & last.keys()
    told = [line.getMessage() for line in caplog.records if line.name == "vlm_gym.rollouts.remote"]
    assert told == [
        "openai:m takes no max_tokens=9: it is asked with max_completion_tokens instead",
        "openai:m takes no temperature=0.0: it is asked without, and decodes as its makers have set it",
    ]


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'messages' is not supported with this model.",
        "max_tokens is too large: 99999. This model supports at most 4096 completion tokens.",
        "Unsupported parameter: 'max_completion_tokens' is not supported with this model.",
    ],
)
def test_what_else_an_endpoint_refuses_is_an_error(endpoint: Any, words: str) -> None:
    server = endpoint(lambda body: (400, {"error": {"message": words}}))
    with pytest.raises(ConnectionError, match=f"gave no reply: .*{re.escape(words[:30])}.*other positions"):
        OpenAI("m", base_url=server.url).act([request()])
    assert [body["max_tokens"] for body in server.asked] == [1024, 1024]  # the position, and another one


def test_a_rate_limit_is_kept_from_one_batch_to_the_next(endpoint: Any) -> None:
    policy = OpenAI("m", base_url=endpoint(lambda body: said("x")).url, per_minute=600)
    start = time.monotonic()
    for seed in range(6):
        policy.act([request(seed)])
    assert time.monotonic() - start >= 0.5


def test_replies_are_told_as_they_come_and_not_lost_with_one_that_fails(endpoint: Any) -> None:
    answers = iter([said("one"), said("two"), (404, {"error": {"message": "gone"}})])
    policy = OpenAI("m", base_url=endpoint(lambda body: next(answers)).url, concurrency=1)
    told: list[tuple[Request, str]] = []
    policy.on_reply = lambda request, reply: told.append((request, reply))
    asked = [request(seed) for seed in range(3)]
    with pytest.raises(ConnectionError, match="gone"):
        policy.act(asked)
    assert told == [(asked[0], "one"), (asked[1], "two")]


def test_replies_under_way_are_heard_when_one_fails_and_no_others_are_asked_for(endpoint: Any) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        if np.array_equal(pictures(body)[0], asked[1].picture()):
            failing.set()
            return 404, {"error": {"message": "gone"}}
        failing.wait(30)
        time.sleep(1)  # still under way when the other has failed
        return said("late")

    failing = threading.Event()
    asked, told = [request(seed) for seed in range(20)], list[tuple[Request, str]]()
    server = endpoint(answer)
    policy = OpenAI("m", base_url=server.url, concurrency=2)
    policy.on_reply = lambda request, reply: told.append((request, reply))
    with pytest.raises(ConnectionError, match="gone"):
        policy.act(asked)
    assert told == [(asked[0], "late")]
    assert len(server.asked) == 2


def test_no_others_are_asked_for_when_a_reply_cannot_be_kept(endpoint: Any) -> None:
    server = endpoint(lambda body: said("paid"))
    policy = OpenAI("m", base_url=server.url, concurrency=1)
    kept: list[str] = []

    def keep(request: Request, reply: str) -> None:
        if kept:
            raise OSError(28, "No space left on device")
        kept.append(reply)

    policy.on_reply = keep
    with pytest.raises(OSError, match="No space left"):
        policy.act([request(seed) for seed in range(20)])
    assert len(server.asked) == 2


def test_all_others_are_asked_and_heard_when_one_is_refused_for_good(endpoint: Any) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        forbidden = any(np.array_equal(pictures(body)[0], asked[at].picture()) for at in (1, 3))
        return (400, {"error": {"message": "content filter"}}) if forbidden else said("fine")

    asked, told = [request(seed) for seed in range(6)], dict[int, str]()
    server = endpoint(answer)
    policy = OpenAI("m", base_url=server.url, concurrency=2)
    policy.on_reply = lambda request, reply: told.update({request.state.seed: reply})
    replies = policy.act(asked)
    assert [at for at, reply in enumerate(replies) if isinstance(reply, Refusal)] == [1, 3]
    assert replies == ["fine", "", "fine", "", "fine", "fine"] == [told[seed] for seed in range(6)]
    assert replies[1].why == "HTTP 400: content filter"
    assert len(server.asked) == 6 + 1  # a reply to another position shows that the endpoint still replies
    again = pickle.loads(pickle.dumps(replies[1]))
    assert isinstance(again, Refusal)
    assert again.why == replies[1].why


def test_an_endpoint_that_stumbles_is_asked_again(endpoint: Any) -> None:
    answers = iter([(500, {"error": {"message": "down"}}), (429, {"error": {"message": "slow"}}), said("ok")])
    server = endpoint(lambda body: next(answers))
    assert OpenAI("m", base_url=server.url).act([request()]) == ["ok"]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: (500, {"error": {"message": "down"}}),
        lambda body: (404, {"error": {"message": "no such model"}}),
        lambda body: (time.sleep(3), said("late"))[1],
        lambda body: (200, {"hello": "world"}),
        lambda body: (200, {"choices": []}),
        lambda body: (200, "<html>Welcome</html>"),
    ],
    ids=["down", "unknown", "slow", "foreign", "empty", "page"],
)
def test_an_endpoint_that_gives_no_reply_is_an_error_and_never_a_move(endpoint: Any, answer: Answer) -> None:
    server = endpoint(answer)
    with pytest.raises(ConnectionError, match=r"openai:m gave no reply: "):
        OpenAI("m", base_url=server.url, retries=1, time_limit=0.5).act([request()])


def test_an_endpoint_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="gave no reply"):
        OpenAI("m", base_url="http://127.0.0.1:9/v1", retries=0).act([request()])


@pytest.mark.parametrize("words", [None, "", "I cannot see.", "<answer>" * 1000])
def test_nonsense_is_a_reply_and_costs_a_turn(endpoint: Any, words: str) -> None:
    server = endpoint(lambda body: said(words))
    episode = Episode("2048", reasoning="level=0,turns=2", split="test")
    turns = list(rollout([episode], OpenAI("m", base_url=server.url), history=1))
    assert [turn.action for turn in turns] == [None, None]
    assert all(turn.error and turn.picture and turn.usage["tokens"] == 50 for turn in turns)
    assert [len(pictures(body)) for body in server.asked] == [1, 2]


def test_a_symbol_that_a_server_cuts_in_two_goes_into_a_recording(endpoint: Any, tmp_path: Path) -> None:
    server = endpoint(lambda body: said("well \ud83d"))
    episodes = [Episode("swap", "0", "0", "test", 0)]
    collect(tmp_path / "turns.jsonl", episodes, OpenAI("m", base_url=server.url))
    assert {turn.reply for turn in read(tmp_path / "turns.jsonl")} == {"well ?"}


def test_unknown_policies_are_errors_that_list_the_known_ones() -> None:
    for spec in ("robot", "gpt:4", "openai:"):
        with pytest.raises(ValueError, match=r"policies: .*solver"):
            make(spec)
