"""Games played by SkyRL's own generator for vision-language models, from its data set to its training rows.

Its engine, vLLM, is stubbed: chat templates and features are those of a tiny model, replies are fixed. This
needs Python 3.12 and an environment of its own: `make test-adapter-skyrl-generator`.
"""

import asyncio
import base64
import io
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

pytest.importorskip("skyrl.train.generators")

import torch
from skyrl.train.config import GeneratorConfig, SkyRLGymConfig
from skyrl.train.dataset import PromptDataset
from skyrl.train.generators.base import TRAINING_PHASE_TRAIN
from skyrl.train.generators.skyrl_vlm_generator import SkyRLVLMGymGenerator
from skyrl.train.generators.utils import prepare_generator_input
from vlm_gym.trainers.models.tiny import configure_model

from vlm_gym.adapters.play import begin
from vlm_gym.adapters.skyrl import ENV_CLASS, register, rows
from vlm_gym.prompt import solution

pytestmark = pytest.mark.adapters
TURNS = 4
LEVEL = {"perception": "size=96", "reasoning": "1"}
SAMPLES = 2
"""Members of a group."""


class Engine:
    """Stands for vLLM: it renders conversations, and answers with the replies of the solver.

    The second reply of an episode is one without an answer.
    """

    model_name = "tiny"

    def __init__(self, processor):
        self.processor = processor
        self.features = {}
        self.sessions = {}
        self.finished = []

    async def render_chat_completion(self, request_payload):
        messages = [
            {"role": message["role"], "content": self._blocks(message["content"])}
            for message in request_payload["json"]["messages"]
        ]
        made = self.processor.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        names = []
        grids = made["image_grid_thw"]
        pieces = torch.split(made["pixel_values"], grids.prod(dim=1).tolist())
        for pixels, grid in zip(pieces, grids, strict=True):
            names.append(f"features-{len(self.features)}")
            self.features[names[-1]] = {"pixel_values": pixels, "image_grid_thw": grid}
        return {"token_ids": made["input_ids"][0].tolist(), "features": {"kwargs_data": {"image": names}}}

    async def generate(self, input_batch, model=None):
        (name,) = input_batch["session_ids"]
        session = self.sessions[name]
        lost = len(session.turns) == 1
        reply = "no answer" if lost else solution(session.run.game, session.run.state)
        session.answer(reply)
        ids = self.processor.tokenizer(reply + "<|im_end|>")["input_ids"]
        return {
            "responses": [reply],
            "response_ids": [ids],
            "stop_reasons": ["stop"],
            "response_logprobs": [[-0.5] * len(ids)],
        }

    async def finish_session(self, session_id):
        self.finished.append(session_id)

    def _blocks(self, content):
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        return [self._picture(part) if part["type"] == "image_url" else part for part in content]

    def _picture(self, part):
        data = part["image_url"]["url"].partition(",")[2]
        return {"type": "image", "image": Image.open(io.BytesIO(base64.b64decode(data)))}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The output for two rows, and the core's own play of the same episodes."""
    _, processor = configure_model([("2048", "1")])
    tokenizer = processor.tokenizer
    tokenizer.chat_template = processor.chat_template  # SkyRL asks the tokenizer for it
    engine = Engine(processor)
    serde = ModuleType("vllm.entrypoints.scale_out.token_in_token_out.mm_serde")
    serde.decode_mm_kwargs_item = lambda name: SimpleNamespace(get_data=lambda: engine.features[name])
    register()
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    written = rows(["2048"], 2, **LEVEL)
    path.write_text("".join(json.dumps(row) + "\n" for row in written))
    data = PromptDataset(str(path), tokenizer, max_prompt_length=1000, num_workers=1)
    prompts = data.collate_fn([data[0], data[1]])
    asked, _ = prepare_generator_input(prompts, SAMPLES, {"logprobs": 0}, ENV_CLASS, TRAINING_PHASE_TRAIN, 0)
    for each, extras in zip(asked["trajectory_ids"], asked["env_extras"], strict=True):
        engine.sessions[f"{each.instance_id}_{each.repetition_id}"] = begin({**extras, "turns": TURNS})
    config = GeneratorConfig(max_turns=TURNS, max_input_length=4000, vision_language_generator=True)
    generator = SkyRLVLMGymGenerator(config, SkyRLGymConfig(max_env_workers=0), engine, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, serde.__name__, serde)
        output = asyncio.run(generator.generate(asked, disable_tqdm=True))
    return SimpleNamespace(output=output, engine=engine, processor=processor)


def runs_of_ones(mask):
    """The pairs (start, end) of the stretches of a mask that carry a loss."""
    starts = [at for at, one in enumerate(mask) if one and (at == 0 or not mask[at - 1])]
    ends = [at + 1 for at, one in enumerate(mask) if one and (at + 1 == len(mask) or not mask[at + 1])]
    return list(zip(starts, ends, strict=True))


def test_the_loss_is_on_the_replies_alone_and_each_reward_at_the_end_of_its_reply(generated):
    output = generated.output
    decode = generated.processor.tokenizer.decode
    assert len(output["response_ids"]) == 2 * SAMPLES
    for at, session in enumerate(generated.engine.sessions.values()):
        ids, mask, rewards = output["response_ids"][at], output["loss_masks"][at], output["rewards"][at]
        assert len(ids) == len(mask) == len(rewards) == len(output["rollout_logprobs"][at])
        written = runs_of_ones(mask)
        replies = [decode(ids[start:end]) for start, end in written]
        assert replies == [turn.reply + "<|im_end|>" for turn in session.turns]
        assert len(replies) == TURNS
        expected = [0.0] * len(ids)
        for (_, end), reward in zip(written, session.rewards, strict=True):
            expected[end - 1] = reward
        assert rewards == expected
        assert rewards[written[1][1] - 1] < 0  # the turn that was lost


def test_there_are_as_many_image_tokens_as_features_and_the_pictures_are_those_of_the_game(generated):
    output = generated.output
    processor = generated.processor
    pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for at, extras in enumerate(generated.engine.sessions.values()):
        tokens = output["prompt_token_ids"][at] + output["response_ids"][at]
        grids = output["image_grid_thw"][at]
        merged = processor.image_processor.merge_size**2
        assert len(grids) == TURNS
        assert tokens.count(pad) == sum(grid.prod().item() // merged for grid in grids)
        # The same turns, played again for their pictures.
        session = begin({"game": "2048", **LEVEL, "index": extras.row.episode.index})
        pictures = []
        for turn in extras.turns:
            pictures.append(session.image())
            session.answer(turn.reply)
        expected = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
        assert torch.equal(output["pixel_values"][at], expected)


def test_members_of_a_group_start_alike_and_groups_do_not(generated):
    prompts, pixels = generated.output["prompt_token_ids"], generated.output["pixel_values"]
    rows_of_first = generated.output["image_grid_thw"][0][0].prod()
    first, second, other, _ = (each[:rows_of_first] for each in pixels)
    assert prompts[0] == prompts[1]
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_lost_turns_are_explained_where_no_loss_is(generated):
    output = generated.output
    text = generated.processor.tokenizer.decode(
        [
            token
            for token, one in zip(output["response_ids"][0], output["loss_masks"][0], strict=True)
            if not one
        ]
    )
    assert "no <answer>...</answer> in the reply" in text
    assert "<answer>left" not in text


def test_metrics_of_the_games_are_averaged_and_every_session_is_finished(generated):
    metrics = generated.output["rollout_metrics"]
    assert metrics["environment/turns"] == TURNS
    assert metrics["environment/legal"] == (TURNS - 1) / TURNS
    assert sorted(generated.engine.finished) == sorted(generated.engine.sessions)
