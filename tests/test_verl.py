"""Games as an agent loop of verl: its own base class and token builder, and a server whose replies are fixed.

It needs an environment of its own, with transformers below 5.11: `make test-adapter-verl`.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from overhead import LIMIT, added

pytest.importorskip("verl")

from omegaconf import OmegaConf
from verl.experimental.agent_loop import agent_loop
from verl.workers.rollout.replica import TokenOutput
from vlm_gym.trainers.models.tiny import configure_model

from vlm_gym.adapters.play import begin
from vlm_gym.adapters.verl import GameLoop, _asked
from vlm_gym.prompt import solution

pytestmark = pytest.mark.adapters
ROW = {"game": "2048", "perception": {"size": 96}, "reasoning": 1, "index": 3, "turns": 4}


class Server:
    """Answers with the next of some replies, and keeps what it was asked."""

    def __init__(self, tokenizer, replies):
        self.tokenizer = tokenizer
        self.replies = list(replies)
        self.asked = []

    async def generate(self, request_id, prompt_ids, sampling_params, image_data=None):
        self.asked.append((prompt_ids, image_data))
        ids = self.tokenizer(self.replies.pop(0) + "<|im_end|>")["input_ids"]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids), extra_fields={"min_global_steps": 7})


def play(row: dict, replies: list[str], prompt_length: int = 2000, response_length: int = 400):
    config = OmegaConf.create(
        {
            "actor_rollout_ref": {
                "rollout": {"prompt_length": prompt_length, "response_length": response_length}
            }
        }
    )
    _, processor = configure_model([("2048", "1")])
    server = Server(processor.tokenizer, replies)

    async def run():
        loop = GameLoop(
            agent_loop.DictConfigWrap(config),
            server,
            processor.tokenizer,
            processor,
            None,
            agent_loop.DictConfigWrap(OmegaConf.create({})),
            hf_model_type="qwen3_vl",
        )
        return await loop.run({"temperature": 1.0}, extra_info=row, raw_prompt=[], index=0)

    return asyncio.run(run()), server, processor


def solved(row: dict) -> tuple[list[str], list[np.ndarray]]:
    """The solver's replies but for the second, which is lost, and the pictures that they are given to."""
    session = begin(row)
    replies, frames = [], []
    while not session.ended:
        frames.append(session.frame())
        lost = len(replies) == 1
        replies.append("no answer" if lost else solution(session.run.game, session.run.state))
        session.answer(replies[-1])
    return replies, frames


@pytest.mark.parametrize("history", [0, 2])
def test_each_turn_is_an_output_and_the_last_one_has_the_return(history):
    row = {**ROW, "history": history}
    replies, frames = solved(row)
    outputs, server, processor = play(row, replies)
    session = begin(row)
    assert len(outputs) == len(replies) == 4
    pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for turn, (output, reply) in enumerate(zip(outputs, replies, strict=True)):
        shown = frames[max(0, turn - history) : turn + 1]
        pictures = output.multi_modal_data["images"]
        assert [np.asarray(picture).tolist() for picture in pictures] == [frame.tolist() for frame in shown]
        assert server.asked[turn] == (output.prompt_ids, pictures)
        assert output.prompt_ids.count(pad) == len(shown) * (96 // 32) ** 2
        assert processor.tokenizer.decode(output.response_ids) == reply + "<|im_end|>"
        assert output.response_mask == [1] * len(output.response_ids)
        assert len(output.response_logprobs) == len(output.response_ids)
        answered = session.answer(reply)
        assert output.extra_fields["turn_reward"] == answered.reward
        assert output.extra_fields["min_global_steps"] == 7
        assert (output.reward_score is None) == (turn < 3)
    assert outputs[-1].reward_score == sum(session.rewards)
    assert outputs[-1].extra_fields["reward_extra_info"] == {"success": 0.0, "turns": 4.0, "legal": 0.75}


def test_verls_worker_finds_features_for_every_picture():
    import torch

    outputs, _, processor = play({**ROW, "history": 1}, solved(ROW)[0])
    worker = object.__new__(agent_loop.AgentLoopWorker)
    worker.processor = processor
    worker.tokenizer = processor.tokenizer
    worker.mm_processor_kwargs = {}
    for turn, output in enumerate(outputs):
        ids = torch.tensor(output.prompt_ids + output.response_ids)
        inputs = worker._compute_multi_modal_inputs(output, ids)
        assert len(inputs["image_grid_thw"]) == min(turn, 1) + 1
        assert output.as_dict()["response_mask"].sum() == len(output.response_ids)


def test_a_reply_is_cut_to_what_verl_has_room_for():
    replies, _ = solved(ROW)
    outputs, _, _ = play(ROW, replies, response_length=5)
    for output in outputs:
        assert len(output.response_ids) == len(output.response_mask) == len(output.response_logprobs) == 5


def test_a_prompt_that_is_too_long_is_an_error_and_no_wrong_picture():
    with pytest.raises(ValueError, match=r"exceeding rollout\.prompt_length=20"):
        play(ROW, solved(ROW)[0], prompt_length=20)


def test_members_of_a_group_start_alike():
    row = {**ROW, "turns": 1}
    first, second = (play(row, [reply])[0][0] for reply in ("<answer>left</answer>", "<answer>up</answer>"))
    assert first.prompt_ids == second.prompt_ids
    assert first.multi_modal_data["images"][0].tobytes() == second.multi_modal_data["images"][0].tobytes()


def test_a_row_that_is_not_possible_is_one_line():
    with pytest.raises(ValueError, match="did you mean '2048'") as caught:
        play({"game": "2049"}, [])
    assert "\n" not in str(caught.value)


def test_a_row_that_names_no_episode_is_one_line():
    with pytest.raises(ValueError, match="the row has no 'extra_info'"):
        asyncio.run(GameLoop.run(GameLoop.__new__(GameLoop), {}, index=0))


def test_verl_knows_the_loop_by_its_name():
    assert agent_loop._agent_loop_registry["vlm_gym"] == {"_target_": "vlm_gym.adapters.verl.GameLoop"}


def test_the_example_writes_rows_that_the_loop_plays(tmp_path):
    import pyarrow.parquet as pq

    script = Path(__file__).parents[1] / "examples" / "verl_data.py"
    command = [sys.executable, str(script), "--games", "2048,swap", "--steps", "2", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (entry,) = OmegaConf.load(tmp_path / "loops.yaml")
    assert entry == {"name": "vlm_gym", "_target_": "vlm_gym.adapters.verl.GameLoop"}
    rows = pq.read_table(tmp_path / "train.parquet").to_pylist()
    assert [row["agent_name"] for row in rows] == ["vlm_gym"] * 4
    for row in rows:
        outputs, _, _ = play({**row["extra_info"], "turns": 1}, ["<answer>left</answer>"])
        assert len(outputs) == 1


def test_the_adapter_adds_less_than_a_millisecond_to_a_turn():
    def begin_turns(row):
        session = begin(row)

        def turn():
            session.answer(f"<answer>{session.run.legal[0]}</answer>")
            _asked(session)

        return turn

    assert added("verl", begin_turns) < LIMIT
