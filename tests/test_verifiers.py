"""The games under verifiers: its own `vf-eval`, in its own process, against an endpoint on this machine."""

import asyncio
import base64
import io
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from threading import Lock
from types import SimpleNamespace

import pytest
from endpoints import Endpoint, said
from PIL import Image

from vlm_gym.adapters.network import Refused
from vlm_gym.adapters.play import begin
from vlm_gym.episode import Episode
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.rollouts.remote import with_pictures
from vlm_gym.rollouts.rollout import rollout

pytest.importorskip("verifiers", reason="needs verifiers: `make test-adapters`")
import verifiers.v1 as vf
from pydantic import ValidationError

from vlm_gym.adapters.verifiers import (
    GameHarness,
    GameHarnessConfig,
    GameTask,
    GameTaskset,
    GameTasksetConfig,
    VerifiersEnvConfig,
)

pytestmark = [pytest.mark.adapters, pytest.mark.slow]
ROOT = Path(__file__).parents[1]
PACKAGE = str(ROOT / "integrations" / "verifiers")
MOVES = ("left", "down", "right", "up")
LEVEL = "level=1,turns=6"


def scripted(messages):
    """Reply by the last picture alone: a move, and for some pictures nothing that can be played."""
    picture = zlib.crc32(messages[-1]["content"][0]["image_url"]["url"].encode())
    return "I do not know" if picture % 5 == 0 else f"<answer>{MOVES[picture % 4]}</answer>"


def answer(body):
    return said(scripted(body["messages"]))


class Scripted:
    """The scripted replies as a policy of our own rollouts."""

    name = "scripted"
    sees = True
    portable = False

    def act(self, requests):
        return [scripted(with_pictures(request)) for request in requests]


def environment():
    return {**os.environ, "PYTHONPATH": PACKAGE, "NO_COLOR": "1"}


def evaluate(folder, url, *options, code=0):
    """Run `vf-eval` and return its episodes, each with one trace."""
    command = [
        *(Path(sys.executable).with_name("vf-eval"), "vlm-gym-games", "--model", "m"),
        *("--client.base-url", url, "--no-push", "--no-rich", "--output-dir", folder, "--run.name", "run"),
        *options,
    ]
    done = subprocess.run(
        [str(word) for word in command], env=environment(), capture_output=True, text=True, timeout=400
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    lines = (folder / "run" / "traces.jsonl").read_text().splitlines()
    traces = [json.loads(line)["traces"][0] for line in lines]
    return sorted(traces, key=lambda trace: trace["task"]["key"])


def harness(*options):
    return ["--env.agent.harness.id", "vlm-gym-games", *options]


@pytest.fixture(scope="module", params=[0, 2], ids=["no history", "history"])
def played(request, tmp_path_factory):
    """Two rollouts of each of four tasks of two games."""
    server = Endpoint(answer)
    options = [
        *("-n", "4", "-r", "2", "--env.taskset.games", '["2048", "sokoban"]'),
        *("--env.taskset.perception", "1", "--env.taskset.reasoning", LEVEL, "--env.taskset.first", "3"),
        *("--env.taskset.weights", '{"game": 1.0, "format": 0.5}'),
        *harness("--env.agent.harness.history", str(request.param)),
    ]
    traces = evaluate(tmp_path_factory.mktemp("runs"), server.url, *options)
    yield SimpleNamespace(history=request.param, traces=traces, asked=server.asked)
    server.server.shutdown()
    server.server.server_close()


def test_rewards_are_those_of_our_own_rollouts_of_the_same_episodes(played):
    assert len(played.traces) == 8
    for trace in played.traces:
        game, perception, reasoning, split, index = trace["task"]["key"].split("/")
        episode = Episode(game, perception, reasoning, split, int(index))
        turns = list(rollout([episode], Scripted(), history=played.history))
        ours = [turn.rewards["game"] + 0.5 * turn.rewards["format"] for turn in turns]
        info = trace["info"]["vlm_gym"]
        assert info["rewards"] == ours
        assert info["terms"] == [turn.rewards for turn in turns]
        assert info["feedback"] == [turn.error or turn.event for turn in turns]
        assert info["legal"] == [turn.action is not None for turn in turns]
        assert trace["rewards"]["game"]["score"] == sum(ours)
        assert trace["metrics"]["success"] == turns[-1].success
        assert trace["metrics"]["score"] == turns[-1].score
        assert trace["metrics"]["turns"] == len(turns)
        assert trace["metrics"]["game_sum"] == sum(turn.rewards["game"] for turn in turns)


def picture(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


class Served:
    """A model behind an endpoint: it reads OpenAI messages by its own chat template, and answers greedily."""

    def __init__(self, model, processor, tokens):
        self.model = model
        self.processor = processor
        self.tokens = tokens
        self.lock = Lock()  # several rollouts ask at a time

    def __call__(self, body):
        pictures = []
        messages = []
        for message in body["messages"]:
            blocks = message["content"]
            if isinstance(blocks, str):
                blocks = [{"type": "text", "text": blocks}]
            pictures += [picture(block["image_url"]["url"]) for block in blocks if "image_url" in block]
            shown = [{"type": "image"} if "image_url" in block else block for block in blocks]
            messages.append({"role": message["role"], "content": shown})
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = self.processor(text=[text], images=[pictures], return_tensors="pt")
        with self.lock:
            output = self.model.generate(**inputs, max_new_tokens=self.tokens, do_sample=False)
        new = output[:, inputs["input_ids"].shape[1] :]
        return said(self.processor.batch_decode(new, skip_special_tokens=True)[0])


@pytest.mark.parametrize(("model", "tokens", "size"), [("talker", 16, 64), ("tiny-base", 150, 128)])
def test_a_tiny_model_earns_under_vf_eval_what_it_earns_in_our_own_rollouts(
    model, tokens, size, talker, endpoint, tmp_path
):
    from vlm_gym.trainers.models.transformers_policy import Transformers
    from vlm_gym.trainers.recipe import Model

    path = str(talker) if model == "talker" else Model(path=model).location
    policy = Transformers(path, max_tokens=tokens)
    server = endpoint(Served(policy.model, policy.processor, tokens))
    options = [
        *("-n", "6", "--env.taskset.games", '["2048", "swap"]', "--env.taskset.turns", "5"),
        *("--env.taskset.perception", f"size={size}", "--env.taskset.reasoning", "level=0"),
        *harness("--env.agent.harness.history", "0"),
    ]
    traces = evaluate(tmp_path, server.url, *options)
    assert len(traces) == 6
    replies = set()
    for trace in traces:
        game, perception, reasoning, split, index = trace["task"]["key"].split("/")
        turns = list(rollout([Episode(game, perception, reasoning, split, int(index))], policy))[:5]
        assert trace["info"]["vlm_gym"]["rewards"] == [turn.rewards["game"] for turn in turns]
        replies |= {turn.reply for turn in turns}
    assert len(replies) > 1
    assert any(any(trace["info"]["vlm_gym"]["legal"]) for trace in traces)


def test_the_scripted_replies_try_both_legal_and_illegal_turns(played):
    legal = [entry for trace in played.traces for entry in trace["info"]["vlm_gym"]["legal"]]
    assert {True, False} == set(legal)


def test_all_rollouts_of_a_task_start_alike_and_tasks_do_not(played):
    keys = [trace["task"]["key"] for trace in played.traces]
    assert keys[::2] == keys[1::2]
    assert len(set(keys)) == 4
    first = [json.dumps(trace["nodes"][0]["message"]) for trace in played.traces]
    assert first[::2] == first[1::2]
    assert len(set(first)) == 4


def test_a_request_shows_the_window_of_the_history(played):
    pictures = {
        sum(
            block["type"] == "image_url"
            for message in body["messages"]
            if message["role"] == "user"
            for block in message["content"]
        )
        for body in played.asked
    }
    assert pictures == set(range(1, played.history + 2))


def test_every_turn_names_the_node_of_its_reply(played):
    for trace in played.traces:
        nodes = trace["info"]["vlm_gym"]["nodes"]
        assert len(set(nodes)) == len(nodes) == trace["metrics"]["turns"]
        assert all(trace["nodes"][node]["sampled"] for node in nodes)
        # Nodes that the model has sampled are the replies of the turns, and no others.
        assert [number for number, node in enumerate(trace["nodes"]) if node["sampled"]] == nodes


def test_turns_in_the_window_grow_one_conversation(played):
    for trace in played.traces:
        nodes = trace["info"]["vlm_gym"]["nodes"]
        growing = [trace["nodes"][node].get("parent") for node in nodes[: 1 + played.history]]
        expected = [2 * turn for turn in range(1 + played.history)]
        assert growing == expected


def test_a_whole_conversation_is_one_chain_of_messages(endpoint, tmp_path):
    (trace,) = evaluate(
        tmp_path,
        endpoint(answer).url,
        *("-n", "1", "--env.taskset.turns", "5"),
        *harness("--env.agent.harness.history", "100"),
    )
    assert [node.get("parent") for node in trace["nodes"]] == [None, *range(9)]


def test_a_fault_that_passes_is_asked_again_and_one_that_stays_ends_its_own_rollout(endpoint, tmp_path):
    failed = []

    def faulty(body):
        words = body["messages"][-1]["content"][1]["text"]
        if words == text:
            return 400, {"error": {"message": "no boxes here"}}
        if not failed:
            failed.append(words)
            return 500, {"error": {"message": "busy"}}
        return answer(body)

    game = find("sokoban")
    text = instructions(game, game.settle(LEVEL))
    options = ["-n", "2", "--env.taskset.games", '["2048", "sokoban"]', "--env.taskset.reasoning", LEVEL]
    traces = evaluate(tmp_path, endpoint(faulty).url, *options)
    good, bad = traces
    assert failed
    assert (good["ok"], good["metrics"]["turns"]) == (True, 6)
    assert not bad["ok"]
    assert "no boxes here" in bad["errors"][-1]["message"]


def test_a_reply_that_is_no_text_is_a_turn_lost(endpoint, tmp_path):
    def empty(body):
        status, data = said("")
        data["choices"][0]["message"]["content"] = None
        return status, data

    (trace,) = evaluate(tmp_path, endpoint(empty).url, "-n", "1", "--env.taskset.turns", "2")
    info = trace["info"]["vlm_gym"]
    assert trace["ok"]
    assert len(info["rewards"]) == 2
    assert all(reward < 0 for reward in info["rewards"])
    assert all(info["feedback"])


def test_a_limit_of_the_agent_keeps_the_turns_that_were_played(endpoint, tmp_path):
    options = ["-n", "1", "--env.taskset.turns", "9", "--env.agent.max-turns", "3"]
    (trace,) = evaluate(tmp_path, endpoint(answer).url, *options)
    rewards = trace["info"]["vlm_gym"]["rewards"]
    assert len(rewards) == 3
    assert trace["rewards"]["game"]["score"] == sum(rewards)
    assert trace["ok"]


@pytest.mark.parametrize("option", ["games", "perception"])
def test_vf_eval_says_what_is_no_game_or_level_without_a_traceback(option):
    values = {"games": '["2049"]', "perception": "99"}
    words = {
        "games": "unknown game '2049' (did you mean '2048'?)",
        "perception": "unknown perception level '99'",
    }
    command = [
        Path(sys.executable).with_name("vf-eval"),
        "vlm-gym-games",
        "-n",
        "1",
        "--model",
        "m",
        "--no-push",
    ]
    command += [f"--env.taskset.{option}", values[option]]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200)
    told = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert words[option] in told
    assert "Traceback" not in told


def test_a_configuration_of_no_game_is_one_line():
    for change, words in (
        ({"games": ["2049"]}, "did you mean '2048'"),
        ({"games": []}, "games is empty"),
        ({"perception": 9}, "unknown perception level"),
        ({"weights": {"luck": 1.0}}, "unknown reward term 'luck'"),
        ({"turns": 0}, "not a whole number"),
    ):
        with pytest.raises(ValidationError, match=words) as caught:
            GameTasksetConfig(**change)
        (error,) = caught.value.errors()
        assert "\n" not in error["msg"]


def test_tasks_are_known_by_their_episode():
    tasks = list(GameTaskset(GameTasksetConfig(games=["2048", "maze"], num_tasks=6, split="test")))
    assert [task.data.row["index"] for task in tasks] == [0, 0, 1, 1, 2, 2]
    assert len({task.key for task in tasks}) == 6
    assert tasks[1].key == "maze/0/2/test/0"
    again = list(GameTaskset(GameTasksetConfig(games=["2048", "maze"], num_tasks=6, split="test")))
    assert [task.hash for task in again] == [task.hash for task in tasks]


def test_a_row_names_no_folder_unless_it_may(tmp_path):
    for kind in range(16):
        (tmp_path / f"kind{kind}").mkdir()
        for number in range(2):
            path = ROOT / "assets" / "pictures"
            source = sorted(path.rglob("*.png"))[2 * kind + number]
            (tmp_path / f"kind{kind}" / f"{number}.png").write_bytes(source.read_bytes())
    row = {"game": "shisen_sho_photos", "reasoning": {"level": 1, "pictures": str(tmp_path)}}
    with pytest.raises(Refused, match="can name a folder"):
        GameHarness(GameHarnessConfig())._begin(row)
    assert GameHarness(GameHarnessConfig(folders=True))._begin(row).url() == begin(row).url()


def test_tasks_are_played_behind_the_server_of_environments(endpoint, monkeypatch):
    """Rows come over a network there, and none can name a folder of the server."""
    from verifiers.v1.serve.client import EnvClient
    from verifiers.v1.serve.server import EnvServer

    monkeypatch.syspath_prepend(PACKAGE)
    config = GameTasksetConfig(id="vlm-gym-games", reasoning=LEVEL, num_tasks=1)
    (task,) = GameTaskset(config)
    asked = vf.EvalClientConfig(base_url=endpoint(answer).url, api_key_var="OPENAI_API_KEY")
    data = task.data.model_dump()
    evil = {**data, "row": {"game": "shisen_sho_photos", "reasoning": {"pictures": "/etc"}}}

    async def play():
        server = EnvServer(VerifiersEnvConfig(taskset=config), "tcp://127.0.0.1:0")
        running = asyncio.create_task(server.run())
        client = EnvClient(server.address)
        episodes = [await client.run(asked, "m", vf.SamplingConfig(), row) for row in (evil, data)]
        await client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [episode.traces[0] for episode in episodes]

    refused, played = asyncio.run(play())
    assert not refused.ok
    assert "cannot be set over a network" in refused.errors[-1].message
    assert played.ok
    assert played.info["vlm_gym"]["rewards"]
    assert played.reward == sum(played.info["vlm_gym"]["rewards"])
    assert played.metrics["turns"] == 6


def test_another_harness_plays_no_game():
    (task,) = GameTaskset(GameTasksetConfig(num_tasks=1))
    assert isinstance(task, GameTask)
    with pytest.raises(ValueError, match="no game was played"):
        asyncio.run(task.game(SimpleNamespace(info={})))


def test_the_example_evaluates(endpoint):
    script = ROOT / "examples" / "verifiers_eval.py"
    command = [sys.executable, script, "--model", "m", "--base-url", endpoint(answer).url, "--steps", "2"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.stdout.count("2048/0/2/train/") == 2, done.stdout + done.stderr


def test_the_package_loads_nothing_of_others_before_it_is_asked_for():
    code = "import sys, vlm_gym, vlm_gym.adapters.play; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"verifiers", "openai", "pydantic", "renderers"} & set(loaded.split())
    assert vf.Taskset in GameTaskset.__mro__
