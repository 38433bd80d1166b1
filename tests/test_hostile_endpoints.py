"""Trials of reliability: endpoints that fail in every way, and replies that hold everything.

Whatever a server does, no turn is made up, no reply is lost or asked for again, and the numbers are those of
an endpoint without faults.
"""

import json
import random
from dataclasses import replace
from hashlib import blake2b

import pytest
from hostile import Hostile, Reaction, completion

from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.suite import Part, Suite
from vlm_gym.recordings.record import read
from vlm_gym.replays.replay import verify
from vlm_gym.report.build import report

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SECRET = "sk-verysecret0123"
MOVES = ("left", "up", "right", "down", "sideways")


def suite(episodes, turns=6):
    part = Part(
        games=("2048",), perception=("size=64",), reasoning=(f"level=0,turns={turns}",), episodes=episodes
    )
    return Suite(part=(part,))


def asked(url, episodes, **options):
    options = {"base_url": url, "concurrency": 3, "time_limit": 1.0, **options}
    what = {"suite": suite(episodes), "policies": ["openai:m"], "options": options}
    return Evaluation(**what, baselines=False, quiet=True)


def untimed(out):
    every = read(out / "openai-m/turns.jsonl")
    return [replace(turn, usage={**turn.usage, "seconds": 0.0}) for turn in every]


def move(body):
    """Reply by what is shown, and always the same to the same."""
    shown = json.dumps(body["messages"]).encode()
    return f"<answer>{MOVES[blake2b(shown).digest()[0] % 5]}</answer>"


def good(body):
    return Reaction(completion(move(body), usage={"prompt_tokens": 9, "completion_tokens": 5}))


ECHO = f"fault for {SECRET}"
FAULTS = [
    Reaction({"error": {"message": ECHO}}, 500),
    Reaction(f"<html><body>{ECHO}</body></html>", 502),
    Reaction("", 503),
    Reaction({"detail": ECHO}, 504),
    Reaction({"error": ECHO}, 429, {"Retry-After": "0"}),
    Reaction({"error": ECHO}, 408, {"Retry-After": "soon"}),
    Reaction([{"error": {"message": ECHO}}], 529),
    Reaction({"error": {"message": ECHO, "code": 502}}),
    Reaction({"error": {"message": ECHO, "code": "server_error"}, "choices": []}),
    Reaction({"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}),
    Reaction({"choices": [{"message": None, "finish_reason": "stop"}]}),
    Reaction({"choices": [{"finish_reason": "stop"}]}),
    Reaction({"choices": [{"message": {"content": 7}}]}),
    Reaction({"choices": []}),
    Reaction({"choices": {"0": "left"}}),
    Reaction({}),
    Reaction("null"),
    Reaction("data: {}\n\n"),
    Reaction("<answer>left</answer>"),
    Reaction(b"\xff\xfe\x00"),
    Reaction(b"[" * 20_000),
    Reaction(completion("<answer>left</answer>"), stop=60),
    Reaction(completion("<answer>left</answer>"), stop=-1),
    Reaction(b"no gzip", headers={"Content-Encoding": "gzip"}),
    Reaction(completion("<answer>left</answer>"), drip=15),  # 1.5 seconds, half a second too many
    Reaction({"error": ECHO}, 307, {"Location": "/v1/chat/completions"}),
    Reaction(completion("<answer>left</answer>"), 404),
    Reaction({"error": ECHO}, 401),
]
"""What is no reply. Where there is one inside, it is not the model's to this request, or not whole."""


@pytest.mark.parametrize("seed", range(4))
def test_hostile_endpoints(tmp_path, monkeypatch, seed):
    """Half of all answers are faults; the same command goes on until all is played."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    dice = random.Random(seed)
    answers = {"good": 0, "bad": 0}

    def react(body, headers):
        if dice.random() < 0.5:
            answers["bad"] += 1
            return dice.choice(FAULTS)
        answers["good"] += 1
        return good(body)

    plain, server = Hostile(lambda body, headers: good(body)), Hostile(react)
    try:
        evaluate(asked(plain.url, 12), tmp_path / "plain")
        commands = 0
        complete = False
        while not complete:
            results = evaluate(asked(server.url, 12, retries=1), tmp_path / "run")
            complete = results["complete"]
            commands += 1
            assert commands < 200
            if not complete:
                assert results["missing"]["openai:m"]["why"].startswith("openai:m gave no reply: ")
                assert "refused" not in results["policies"][0]["overall"]["numbers"]
    finally:
        plain.close()
        server.close()
    assert untimed(tmp_path / "run") == untimed(tmp_path / "plain")
    assert answers["good"] == len(untimed(tmp_path / "plain"))  # no reply was asked for twice
    assert answers["bad"] > 20
    assert not any(SECRET in path.read_text() for path in (tmp_path / "run").rglob("*.json*"))


WORDS = [
    "",
    "<answer>left</answer>" * 3,
    "<think><answer>left</answer>",
    "<answer>" * 5000,
    "a" * 1_000_000,
    "\x00\x1b[2J\x07\u202e<answer>up</answer>",
    "\u2028<answer>up</answer>\u2029\x85",
    "half \ud83d of a symbol",
    f"my key is {SECRET}",
    '</script><script>document.title = "taken"</script>',
    '{"version": 1, "refused": "no"}\n{"reply": 1}',
    [{"type": "text", "text": "<answer>up</answer>"}, {"type": "thinking", "thinking": "down"}],
    [{"type": "text", "text": None}, "<answer>down</answer>"],
    [{"type": "image_url", "image_url": {"url": "data:"}}],
    None,
]
USAGES = [
    None,
    "many",
    [1, 2],
    {"prompt_tokens": None, "completion_tokens": "5"},
    {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
    {"prompt_tokens": 10**400, "completion_tokens": -5},
    {"prompt_tokens": 1e300, "completion_tokens": True},
    {"prompt_tokens": 9, "completion_tokens": 5, "cost": [0]},
]
FINISHES = ["stop", "length", None, 7, ["stop"], "tool_calls", "MAX_TOKENS"]


def no_constant(word):
    raise AssertionError(f"{word} is no JSON")


@pytest.mark.parametrize("seed", range(4))
def test_hostile_replies(tmp_path, monkeypatch, seed):
    """Whatever stands in a reply is recorded, judged and counted, and stays what it is: a reply."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    dice = random.Random(seed)

    def react(body, headers):
        message = completion(
            dice.choice(WORDS), dice.choice(FINISHES), dice.choice(USAGES), refusal=dice.choice([None, 7])
        )
        return Reaction(message)

    server = Hostile(react)
    try:
        results = evaluate(asked(server.url, 24, dollars_out=1.0, time_limit=20.0), tmp_path)
        before = len(server.asked)
        assert results["complete"]
        assert before == len(untimed(tmp_path))  # each was a reply at once
        assert evaluate(asked(server.url, 24, dollars_out=1.0, time_limit=20.0), tmp_path) == results
        assert len(server.asked) == before
    finally:
        server.close()
    every = untimed(tmp_path)
    assert not any(turn.refused for turn in every)
    assert verify(tmp_path / "openai-m/turns.jsonl").problems == []
    for path in tmp_path.rglob("*.json*"):
        text = path.read_text()
        assert SECRET not in text
        for line in [text] if path.suffix == ".json" else text.splitlines():
            json.loads(line, parse_constant=no_constant)
    assert sum("cut" in turn.usage for turn in every) > 5
    assert SECRET not in report([tmp_path])
