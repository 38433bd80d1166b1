"""How an endpoint is reached: from any caller, in time, with the cause of a failure and without secrets."""

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import Hostile, Reaction, completion

from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.suite import Decoding, Part, Suite, suite
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.remote import OpenAI, with_pictures

SECRET = "sk-verysecret0123"
COMMAND = Path(sys.executable).with_name("vlm-gym")


def request(seed=3):
    game = find("2048")
    knobs = game.levels[0]
    return Request(game, game.start(seed, knobs), look("size=64"), 0, instructions(game, knobs))


@pytest.fixture
def hostile():
    made = []

    def start(react):
        made.append(Hostile(react))
        return made[-1]

    yield start
    for each in made:
        each.close()


def steady(body, headers):
    return Reaction(completion("<answer>left</answer>", usage={"prompt_tokens": 9, "completion_tokens": 2}))


# --- callers


def test_a_policy_works_inside_a_running_event_loop_and_outside_of_one(hostile):
    policy = OpenAI("m", base_url=hostile(steady).url)

    async def cell():
        return policy.act([request(1), request(2)])

    async def beside():
        """Other work goes on while replies are awaited in a thread."""
        ticks = 0
        work = asyncio.create_task(asyncio.to_thread(policy.act, [request(1), request(2)]))
        while not work.done():
            ticks += 1
            await asyncio.sleep(0.001)
        return await work, ticks

    outside = policy.act([request(1), request(2)])
    assert outside == ["<answer>left</answer>"] * 2
    assert asyncio.run(cell()) == outside
    replies, ticks = asyncio.run(beside())
    assert replies == outside
    assert ticks > 1
    assert policy.act([request(1)]) == outside[:1]


def test_an_error_inside_a_running_event_loop_is_the_same_error(hostile):
    policy = OpenAI("m", base_url=hostile(lambda *_: Reaction({"detail": "gone"}, 404)).url)

    async def cell():
        return policy.act([request()])

    with pytest.raises(ConnectionError, match="HTTP 404: gone"):
        asyncio.run(cell())


INTERRUPTED = """
import asyncio, os, signal, sys, threading
sys.path.insert(0, "tests")
from test_connecting import OpenAI, request
policy = OpenAI("m", base_url=sys.argv[1])
async def cell():
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as the kernel of a notebook has it
    try:
        policy.act([request()])
    except KeyboardInterrupt:
        print("stopped", flush=True)
asyncio.run(cell())
"""


def test_an_interrupt_inside_a_running_event_loop_ends_the_waiting(hostile):
    server = hostile(lambda *_: Reaction({}, drip=300))
    start = time.monotonic()
    words = [sys.executable, "-c", INTERRUPTED, server.url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[1])
    assert done.stdout == "stopped\n", done.stderr
    assert time.monotonic() - start < 25  # the reply would take 30 seconds


# --- time


def test_the_time_limit_is_that_of_the_whole_reply(hostile):
    server = hostile(lambda *_: Reaction(completion("late"), drip=30))
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no whole reply within 0\.5 seconds"):
        OpenAI("m", base_url=server.url, retries=0, time_limit=0.5).act([request()])
    assert time.monotonic() - start < 2.5


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "1"}, {"retry-after-ms": "1000"}], ids=["seconds", "milliseconds"]
)
def test_a_pause_that_an_endpoint_asks_for_is_kept_and_is_not_the_models(hostile, headers):
    reactions = iter([Reaction({"error": "slow down"}, 429, headers)])
    server = hostile(lambda *_: next(reactions, None) or steady(*_))
    start = time.monotonic()
    (said,) = OpenAI("m", base_url=server.url).act([request()])
    assert time.monotonic() - start >= 1
    assert said.usage["seconds"] < 0.9


def test_tries_that_failed_do_not_count_as_the_models_seconds(hostile):
    reactions = iter([Reaction({"error": "down"}, 500, drip=10)])
    server = hostile(lambda *_: next(reactions, None) or steady(*_))
    (said,) = OpenAI("m", base_url=server.url).act([request()])
    assert said.usage["seconds"] < 0.9


# --- faults


@pytest.mark.parametrize(
    "reaction",
    [
        Reaction({"error": {"message": "upstream", "code": 502}}),
        Reaction(completion("", "error")),
        Reaction({"choices": [{"finish_reason": "stop"}]}),
        Reaction("<html>busy</html>", 503),
        Reaction(""),
        Reaction(completion("left"), stop=40),
        Reaction(completion("left"), stop=-1),
        Reaction(b"not gzip", headers={"Content-Encoding": "gzip"}),
        Reaction(completion(7)),
    ],
    ids=["error", "choice", "message", "page", "nothing", "torn", "closed", "packing", "content"],
)
def test_a_fault_of_the_provider_is_asked_again_and_is_no_reply(hostile, reaction):
    reactions = iter([reaction])
    server = hostile(lambda *_: next(reactions, None) or steady(*_))
    assert OpenAI("m", base_url=server.url, retries=1).act([request()]) == ["<answer>left</answer>"]
    assert len(server.asked) == 2
    still = hostile(lambda *_: reaction)
    with pytest.raises(ConnectionError, match="openai:m gave no reply: "):
        OpenAI("m", base_url=still.url, retries=1).act([request()])
    assert len(still.asked) == 2


def test_an_endpoint_may_say_that_asking_again_is_in_vain(hostile):
    server = hostile(lambda *_: Reaction({"error": "no quota"}, 429, {"x-should-retry": "false"}))
    with pytest.raises(ConnectionError, match="HTTP 429: no quota"):
        OpenAI("m", base_url=server.url).act([request()])
    assert len(server.asked) == 1


# --- options


def test_options_are_left_out_one_by_one_and_only_for_good_once_that_has_helped(hostile, caplog):
    def picky(body, headers):
        for name in ("seed", "temperature", "max_tokens"):
            if name in body:
                return Reaction({"detail": [{"loc": ["body", name], "msg": "Extra inputs"}]}, 422)
        return steady(body, headers)

    server = hostile(picky)
    policy = OpenAI("m", base_url=server.url, temperature=0.7, max_tokens=9)
    assert policy.act([request()]) == ["<answer>left</answer>"]
    assert len(server.asked) == 4
    policy.act([request()])
    assert len(server.asked) == 5
    assert server.asked[-1]["max_completion_tokens"] == 9
    assert not {"seed", "temperature", "max_tokens"} & server.asked[-1].keys()
    assert [record.args[1] for record in caplog.records] == ["seed", "temperature", "max_tokens"]


def test_an_error_that_names_an_option_by_chance_changes_nothing(hostile):
    bad = request(7)

    def echo(body, headers):
        if json.dumps(body["messages"]) == forbidden:
            words = f"unsupported content; request was temperature={body.get('temperature')}"
            return Reaction({"error": {"message": words}}, 400)
        return steady(body, headers)

    forbidden = json.dumps(with_pictures(bad))
    server = hostile(echo)
    policy = OpenAI("m", base_url=server.url, concurrency=1)
    assert policy.act([request(1), bad, request(2)]) == ["<answer>left</answer>", "", "<answer>left</answer>"]
    policy.act([request(3)])
    assert server.asked[-1]["temperature"] == 0.0


def test_a_suite_can_omit_the_temperature(hostile, tmp_path):
    server = hostile(steady)
    (tmp_path / "mine.toml").write_text(
        '[decoding]\ntemperature = "omit"\n[[part]]\ngames = ["2048"]\n'
        'perception = ["size=64"]\nreasoning = ["level=0,turns=1"]\nepisodes = 1\n'
    )
    asked = suite(str(tmp_path / "mine.toml"))
    options = {"base_url": server.url}
    results = evaluate(
        Evaluation(suite=asked, policies=["openai:m"], options=options, baselines=False, quiet=True),
        tmp_path / "run",
    )
    assert results["complete"]
    assert ["temperature" in body for body in server.asked] == [False]
    with pytest.raises(ValueError, match=r"suite omits the temperature.*hf:x needs a number"):
        Evaluation(suite=asked, policies=["hf:x"], baselines=False)
    (tmp_path / "mine.toml").write_text('[decoding]\ntemperature = "hot"\n[[part]]\ngames = ["2048"]\n')
    with pytest.raises(ValueError, match="takes a number or 'omit'"):
        suite(str(tmp_path / "mine.toml"))
    assert Suite(part=(Part(),)).decoding == Decoding(temperature=0.0)


# --- causes


def test_the_cause_of_a_failed_connection_is_told(tmp_path):
    with pytest.raises(
        ConnectionError, match=r"http://no-such-host.invalid/v1/ cannot be reached: .*not known|resolution"
    ):
        OpenAI("m", base_url="http://no-such-host.invalid/v1", retries=0).act([request()])
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(
        ConnectionError, match=rf"127.0.0.1:{port}/v1/ cannot be reached: .*(refused|Connect call)"
    ):
        OpenAI("m", base_url=f"http://127.0.0.1:{port}/v1", retries=0).act([request()])


def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path, hostile):
    words = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout key.pem -out cert.pem"
    )
    made = subprocess.run(words.split(), capture_output=True, cwd=tmp_path)
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    server = hostile(steady)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    with pytest.raises(ConnectionError, match="certificate verify failed: self-signed certificate"):
        OpenAI("m", base_url=server.url.replace("http:", "https:"), retries=0).act([request()])


@pytest.mark.parametrize("status", [404, 405])
def test_an_address_without_its_version_is_guessed_at(hostile, status):
    server = hostile(lambda *_: Reaction({"detail": "Not Found"}, status))
    with pytest.raises(
        ConnectionError, match=rf"HTTP {status}: Not Found .*addresses of endpoints end in /v1"
    ):
        OpenAI("m", base_url=server.url.removesuffix("/v1")).act([request()])
    with pytest.raises(ConnectionError) as caught:
        OpenAI("m", base_url=server.url).act([request()])
    assert "end in" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-verysecret0123\n", "  sk-verysecret0123\r\n"])
def test_a_key_from_a_file_loses_its_line_end(hostile, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    server = hostile(steady)
    OpenAI("m", base_url=server.url).act([request()])
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("key", ["sk-very\nsecret", "sk-verý-secret", "two words"])
def test_a_key_that_no_request_can_carry_is_named_but_not_shown(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds") as caught:
        OpenAI("m", base_url="http://127.0.0.1:9/v1")
    assert key not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:8000/v1", "ftp://host/v1", "http://", "http:/host"])
def test_an_address_of_another_kind_is_refused(address):
    with pytest.raises(ValueError, match=r"base_url=.* is not possible; it takes an address such as"):
        OpenAI("m", base_url=address)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({}, "openai:m needs a key: set OPENAI_API_KEY"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, "127.0.0.1:9/v1/ cannot be reached"),
        ({"OPENAI_API_KEY": "x", "ALL_PROXY": "socks5://127.0.0.1:9"}, "openai:m cannot be asked: .*SOCKS"),
        ({"OPENAI_API_KEY": "x", "ALL_PROXY": "foo://127.0.0.1:9"}, "openai:m cannot be asked: .*proxy"),
        ({"OPENAI_API_KEY": "a b"}, "OPENAI_API_KEY holds a space"),
    ],
    ids=["key", "address", "socks", "proxy", "blank"],
)
def test_what_keeps_the_command_from_asking_is_one_line(tmp_path, more, error):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_") and "proxy" not in k.lower()}
    words = [
        "rollout",
        "--policy",
        "openai:m",
        "--games",
        "2048",
        "--episodes",
        "1",
        "-o",
        tmp_path / "t.jsonl",
    ]
    done = subprocess.run(
        [COMMAND, *words, "--option", "retries=0"],
        env={**env, **more},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("vlm-gym: ")]
    assert len(last) == 1
    assert re.search(error, last[0])


# --- secrets


def test_no_file_and_no_message_holds_the_key_or_credentials(hostile, tmp_path, monkeypatch):
    def echo(body, headers):
        told = f"{headers.get('Authorization', '')} {SECRET} hunter22hunter"
        place = len(server.asked)
        if place == 1:
            return Reaction({"error": {"message": f"bad gateway for {told}"}}, 502)
        if place == 4:
            return Reaction({"error": {"message": f"filtered for {told}"}}, 400)
        return Reaction(completion(f"<think>{told}</think><answer>left</answer>"))

    server = hostile(echo)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    address = server.url.replace("http://", "http://me:hunter22hunter@") + "?token=hunter33hunter"
    words = ["eval", "--policy", "openai:m", "--base-url", address, "--no-baselines", "--games", "2048"]
    words += ["-r", "level=0,turns=3", "-p", "size=64", "--episodes", "3", "--option", "concurrency=1"]
    done = subprocess.run(
        [COMMAND, *words, "-o", tmp_path / "run"], capture_output=True, text=True, timeout=120, env=os.environ
    )
    elsewhere = [
        address.replace("127.0.0.1", "no-such-host.invalid") if word == address else word for word in words
    ]
    gone = subprocess.run(
        [COMMAND, *elsewhere, "--option", "retries=0", "-o", tmp_path / "gone"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
    )
    assert gone.returncode == 1
    assert "cannot be reached" in "".join(gone.stdout.split("\n"))
    assert done.returncode == 0, done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"run.json", "results.json", "turns.jsonl"} <= {path.name for path in files}
    told = [path.read_text() for path in files] + [done.stdout, done.stderr, gone.stdout, gone.stderr]
    for secret in (SECRET, "hunter22", "hunter33"):
        assert not any(secret in text for text in told)
    turns = (tmp_path / "run/openai-m/turns.jsonl").read_text()
    assert "***" in turns
    assert "filtered for" in turns
