"""vLLM for real, as `make test-vllm` installs it: its engine, its server, and GRPO that generates with it."""

import json
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed: make test-vllm", allow_module_level=True)

import torch
from PIL import Image
from talking import TASKS as TALKS
from talking import Listener, asked, grouped, write
from trl.generation import vllm_generation
from vllm import LLM, platforms
from vllm.platforms.interface import UnspecifiedPlatform
from vlm_gym.trainers.learners.engines import vllm_tokens
from vlm_gym.trainers.models.encoding import encode_prompt
from vlm_gym.trainers.models.engine import VLLM, vllm_prompt
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import encode_requests
from vlm_gym.trainers.models.vllm_server import runnable

from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import PastTurn, Request, make

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
GAMES = [("2048", "0"), ("swap", "0")]
ENGINE = {"max_model_len": 2048, "gpu_memory_utilization": 0.2, "enforce_eager": True}
LENGTH = 24


def request(seed: int, name: str = "2048", past: tuple[PastTurn, ...] = ()) -> Request:
    game = find(name)
    knobs = game.levels[0]
    return Request(game, game.start(seed, knobs), look({"size": 128}), 0, instructions(game, knobs), past)


def mixed() -> list[Request]:
    """Positions of two games, one of them after a turn, so that it comes with two pictures."""
    past = (PastTurn(request(9).state, "<answer>up</answer>", "nothing moved"),)
    return [*(request(seed, name) for seed in range(4) for name in ("2048", "swap")), request(5, past=past)]


@pytest.fixture(scope="module", params=["qwen3_vl", "idefics3"])
def played(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model of a family, in vLLM's engine; one engine at a time."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp(request.param)
    build_model(path, GAMES, family=request.param)
    policy = make(f"vllm:{path}", max_tokens=LENGTH, engine=ENGINE)
    yield path, policy
    policy._engine.llm_engine.engine_core.shutdown()


def test_the_engine_gets_the_very_tokens_that_transformers_gets(played: tuple[Path, VLLM]) -> None:
    _, policy = played
    answers = policy._engine.generate(
        [vllm_prompt(policy.processor, each) for each in mixed()], use_tqdm=False
    )
    for each, answer in zip(mixed(), answers, strict=True):
        assert answer.prompt_token_ids == encode_requests(policy.processor, [each])["input_ids"][0].tolist()


def test_greedy_replies_are_those_of_transformers_token_for_token(played: tuple[Path, VLLM]) -> None:
    path, policy = played
    replies, others = policy.act(mixed()), make(f"hf:{path}", max_tokens=LENGTH).act(mixed())
    assert len(set(replies)) > 1
    assert replies == others
    names = ("tokens_in", "tokens")
    assert [[reply.usage[name] for name in names] for reply in replies] == [
        [other.usage[name] for name in names] for other in others
    ]


def test_sampled_replies_depend_on_their_request_alone(played: tuple[Path, VLLM]) -> None:
    _, policy = played
    policy._decoding.temperature = 1.0
    together, apart = policy.act(mixed()), [policy.act([each])[0] for each in mixed()]
    policy._decoding.temperature = 0.0
    assert together == apart
    assert together != policy.act(mixed())


SERVE = [sys.executable, "-W", "ignore", "-m", "vlm_gym.cli", "serve"]


@contextmanager
def served(path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start `vlm-gym serve`, and give its process and the line that it prints; Ctrl-C ends it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine = [word for name, value in ENGINE.items() for word in ("--engine", f"{name}={str(value).lower()}")]
    command = [*SERVE, f"hf:{path}", "--port", str(port), *engine, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process, shlex.split(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def test_a_served_model_replies_as_it_does_here_and_plays_by_the_line_that_is_printed(
    played: tuple[Path, VLLM], tmp_path: Path
) -> None:
    path, policy = played
    with served(path, "--history", "1") as (process, line):
        assert line[:4] == ["vlm-gym", "eval", "--policy", f"openai:{path}"], line
        assert line[-2:] == ["--history", "1"]
        url = line[line.index("--base-url") + 1]
        replies = make(f"openai:{path}", base_url=url, max_tokens=LENGTH).act(mixed())
        others = policy.act(mixed())
        assert len(set(replies)) > 1
        assert list(map(whole, replies)) == list(map(whole, others))
        names = ("tokens_in", "tokens")
        assert [[reply.usage[name] for name in names] for reply in replies] == [
            [other.usage[name] for name in names] for other in others
        ]
        suite = tmp_path / "short.toml"
        suite.write_text(SHORT)
        told = {"core": str(suite), f"runs/{path.name}": str(tmp_path / "run")}
        command = [sys.executable, "-m", "vlm_gym.cli", *(told.get(word, word) for word in line[1:])]
        subprocess.run([*command, "--no-baselines", "--workers", "0"], check=True, timeout=100)
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert results["complete"]
        running = children(process.pid)
        assert len(running) > 1
    assert process.returncode == 130
    patience = monotonic() + 20  # what is killed takes a moment to be gone
    while left := [each for each in running if Path(f"/proc/{each}").exists()]:
        assert monotonic() < patience, left
        sleep(0.1)


def whole(reply: str) -> str:
    """Leave out a character at the end of which not all bytes were written; servers do not send it."""
    return reply.rstrip("\N{REPLACEMENT CHARACTER}")


SHORT = """
about = "one short episode"

[decoding]
max_tokens = 24

[[part]]
games = ["2048"]
perception = ["size=128"]
reasoning = ["0"]
episodes = 1
turns = 2
"""


def children(pid: int) -> list[str]:
    """List the processes that a process has started, and those that they have."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [*below, *(each for child in below for each in children(int(child)))]


def test_an_option_that_the_server_does_not_know_ends_it_at_once(played: tuple[Path, VLLM]) -> None:
    command = [*SERVE, f"hf:{played[0]}", "--port", "8099", "--engine", "no_such_option=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "no-such-option" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vlm-gym: vLLM ended with status 2 before it answered")


def test_a_machine_without_a_device_for_vllm_is_told_what_does_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platforms, "current_platform", UnspecifiedPlatform())
    with pytest.raises(ValueError, match=r"finds no GPU here.* vlm-gym eval --policy hf:some/model"):
        runnable("some/model")


def test_what_the_engine_does_not_take_is_an_error_in_one_line(played: tuple[Path, VLLM]) -> None:
    with pytest.raises(ValueError, match=r"vLLM cannot start with .*no_such_option") as caught:
        make(f"vllm:{played[0]}", engine={"no_such_option": 1})
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def trained(talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trainer whose replies vLLM writes in this process, after some updates."""
    trl = {"use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": 1024}
    trl["vllm_gpu_memory_utilization"] = 0.2
    with pytest.MonkeyPatch.context() as patch:  # by itself vLLM halves float32, which blurs the comparison
        patch.setattr(vllm_generation, "LLM", partial(LLM, dtype="float32", enforce_eager=True))
        made = grouped(talker, tmp_path_factory.mktemp("run"), trl=trl, steps=3, dynamic_sampling=1)
    heard = Listener(made)
    made.go_on(None)
    return made, heard


def test_grpo_learns_from_replies_that_vllm_writes(trained: Any) -> None:
    _, heard = trained
    assert len(heard.lines) == 3
    assert all(line["completions/mean_length"] > 1 for line in heard.lines)
    assert any(line["grad_norm"] > 0 for line in heard.lines)
    # vLLM is as sure of its tokens as the model that learns: it has the weights of the moment.
    apart = [line["sampling/sampling_logp_difference/mean"] for line in heard.lines]
    assert max(apart) < 1e-3, apart


def test_the_policy_in_training_says_what_the_same_model_says_in_evaluation(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = trained
    requests = [asked(task, seed) for seed in range(4) for task in TALKS]
    for part in (made.model, made.processing_class):
        part.save_pretrained(tmp_path)
    wanted = make(f"hf:{tmp_path}", max_tokens=made.max_completion_length).act(requests)
    assert write(made, requests) != wanted  # it samples
    monkeypatch.setattr(made.vllm_generation, "top_k", 1)
    assert write(made, requests) == wanted


def written(made: Any) -> list[list[float]]:
    """Return vLLM's replies by the present weights, and their log-probabilities."""
    made.vllm_generation.temperature, made._last_loaded_step = 1.0, -1
    made.vllm_generation.generation_kwargs = {"seed": 1}
    requests = positions()
    _, sure = made.write(requests, [encode_prompt(made.processing_class, each) for each in requests], 1)
    return sure


def positions() -> list[Request]:
    """Request replies to positions of every task."""
    return [asked(task, seed) for task in TALKS for seed in range(2)]


def test_vllm_replies_to_the_very_tokens_that_the_model_learns_from(trained: Any) -> None:
    made, _ = trained
    prompts = [encode_prompt(made.processing_class, each) for each in positions()]
    tokens = [vllm_tokens(made.processing_class, each) for each in positions()]
    pictures = [[Image.fromarray(frame) for frame in each.frames] for each in prompts]
    answer = made.vllm_generation.generate(prompts=tokens, images=pictures, num_generations=1)
    assert answer[0] == [prompt.ids for prompt in prompts]


def test_replies_change_when_the_weights_of_the_vision_tower_do(trained: Any) -> None:
    made, _ = trained
    before = written(made)
    assert written(made) == before
    with torch.no_grad():
        for name, weights in made.model.named_parameters():
            if "visual" in name:
                weights.add_(torch.randn_like(weights), alpha=0.3)
    assert written(made) != before
