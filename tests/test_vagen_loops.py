"""Games played by VAGEN's own agent loops: one concatenates the turns, the other shows each alone.

They run in the environment of verl, with a checkout of VAGEN and a server whose replies are fixed:
`VAGEN=FOLDER make test-adapter-verl`.
"""

import asyncio
import os
import sys
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("verl", reason="needs verl: `make test-adapter-verl`")

from verl.workers.rollout.replica import TokenOutput
from vlm_gym.trainers.models.tiny import configure_model

from vlm_gym.adapters.play import begin
from vlm_gym.prompt import solution

pytestmark = pytest.mark.adapters
ROW = {"game": "2048", "perception": {"size": 96}, "reasoning": 1, "turns": 4}
SEED = 5
GONE = ("verl.experimental.agent_loop.prometheus_utils", "verl.experimental.reward")
"""What the loops import of an older verl for their trainer, and do not use to play."""


class Server:
    """Answers with the next of some replies, and keeps what it was asked."""

    def __init__(self, tokenizer, replies):
        self.tokenizer = tokenizer
        self.replies = list(replies)
        self.asked = []

    async def generate(self, request_id, prompt_ids, sampling_params, image_data):
        self.asked.append((list(prompt_ids), list(image_data)))
        ids = self.tokenizer(self.replies.pop(0) + "<|im_end|>")["input_ids"]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


@pytest.fixture
def loops(monkeypatch):
    """Import a loop of the checkout by its name."""
    if "VAGEN" not in os.environ:
        pytest.skip("the variable VAGEN names no checkout of mll-lab-nu/VAGEN")
    monkeypatch.syspath_prepend(os.environ["VAGEN"])
    for name in GONE:
        stand_in = ModuleType(name)
        stand_in.__getattr__ = lambda name: object
        monkeypatch.setitem(sys.modules, name, stand_in)
    return lambda name: import_module(f"vagen.agent_loop.{name}").GymAgentLoop


def ids_of(processor, text):
    return processor(text=[text], return_tensors="pt")["input_ids"].squeeze(0).tolist()


async def play(kind, processor, server):
    """Play an episode as VAGEN's worker does, and return its outputs."""
    loop = kind.__new__(kind)  # whose `__init__` is that of a worker of another verl
    loop.loop = asyncio.get_running_loop()
    loop.server_manager = server
    loop.processor = processor
    loop.tokenizer = processor.tokenizer
    loop.env_registry = {}
    loop.env_registry_paths = {"VlmGym": "vlm_gym.adapters.vagen.VagenEnv"}
    loop.apply_chat_template_kwargs = {}
    loop.prompt_length = 4000
    loop.response_length = 4000
    prefix = [{"role": "system", "content": "placeholder"}]
    loop.system_prompt_prefix = ids_of(processor, processor.apply_chat_template(prefix, tokenize=False))
    played = await loop.run({}, env_name="VlmGym", config=ROW, seed=SEED, group_idx=0, traj_idx=0)
    return played if isinstance(played, list) else [played]


@pytest.mark.parametrize(
    ("name", "concatenates"), [("gym_agent_loop", True), ("gym_agent_loop_no_concat", False)]
)
def test_vagens_own_loop_plays_the_episode_of_the_core(loops, name, concatenates):
    session = begin({**ROW, "index": SEED})
    replies = []
    frames = []
    while not session.ended:
        frames.append(session.frame())
        lost = len(replies) == 1  # a reply that VAGEN would count as one with a picture
        replies.append("<image>" if lost else solution(session.run.game, session.run.state))
        session.answer(replies[-1])
    _, processor = configure_model([("2048", "1")])
    server = Server(processor.tokenizer, replies)
    outputs = asyncio.run(play(loops(name), processor, server))

    pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for turn, (prompt, pictures) in enumerate(server.asked):
        shown = frames[: turn + 1] if concatenates else [frames[turn]]
        for picture, frame in zip(pictures, shown, strict=True):
            assert np.array_equal(picture, frame)
        assert prompt.count(pad) == len(shown) * (96 // 32) ** 2
    lengths = [len(processor.tokenizer(reply + "<|im_end|>")["input_ids"]) for reply in replies]
    learnt = [sum(output.response_mask) for output in outputs]
    earned = [output.reward_score for output in outputs]
    if concatenates:
        assert (learnt, earned) == ([sum(lengths)], [pytest.approx(sum(session.rewards))])
    else:
        assert (learnt, earned) == (lengths, session.rewards)
