"""Games as an agent loop of verl: an episode is a list of outputs, one row of training for each turn.

A row of verl's data set has ``agent_name: vlm_gym``, and under ``extra_info`` the keys of
`vlm_gym.adapters.play.Row.read`. verl finds the loop by a YAML file, which
``actor_rollout_ref.rollout.agent.agent_loop_config_path`` names:

    - name: vlm_gym
      _target_: vlm_gym.adapters.verl.GameLoop

It owns the history: each turn is a prompt of its own, with the turns before it that the row asks for. So it
returns a list of outputs, which verl takes under ``trainer.use_v1=True`` alone.

Known traps of verl 0.9.1: all rows of an episode get the reward of the last one, here the return of the
episode. The reward of each turn stands in ``extra_fields["turn_reward"]``, where no estimator of verl reads
it. A prompt with pictures that is longer than ``rollout.prompt_length`` is an error. verl needs an
environment of its own, since it pins an older transformers.
"""

import asyncio
from time import perf_counter
from typing import Any
from uuid import uuid4

from PIL import Image

from vlm_gym.adapters.libraries import check_library
from vlm_gym.adapters.play import EpisodeInPlay, begin
from vlm_gym.prompt import Message

check_library("verl", "0.9.1", "verl")

from verl.experimental.agent_loop.agent_loop import (  # noqa: E402
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
    register,
)


@register("vlm_gym")
class GameLoop(AgentLoopBase):
    """Plays the episode of a row."""

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> list[AgentLoopOutput]:
        """Play to the end. Raises `ValueError` of one line for a row that is not possible."""
        if not isinstance(row.get("extra_info"), dict):
            raise ValueError("the row has no 'extra_info', the object that names its episode")
        session = await asyncio.to_thread(begin, row["extra_info"])
        outputs: list[AgentLoopOutput] = []
        while not session.ended:
            messages, pictures = await asyncio.to_thread(_asked, session)
            prompt = await self.ct_build_initial_tokens(messages, images=pictures)
            start = perf_counter()
            output = await self.server_manager.generate(
                request_id=uuid4().hex,
                prompt_ids=prompt,
                sampling_params=sampling_params,
                image_data=pictures,
            )
            seconds = perf_counter() - start
            reply = self.tokenizer.decode(output.token_ids, skip_special_tokens=True)
            answered = await asyncio.to_thread(session.answer, reply)
            limit = self.rollout_config.response_length
            ids = output.token_ids[:limit]
            outputs.append(
                AgentLoopOutput(
                    prompt_ids=prompt,
                    response_ids=ids,
                    response_mask=[1] * len(ids),
                    response_logprobs=output.log_probs[:limit] if output.log_probs else None,
                    multi_modal_data={"images": pictures},
                    num_turns=2,
                    metrics=AgentLoopMetrics(generate_sequences=seconds),
                    extra_fields={
                        **output.extra_fields,
                        "turn_reward": answered.reward,
                        "turn_scores": [],
                        "tool_rewards": [],
                    },
                )
            )
        last = outputs[-1]
        last.reward_score = sum(session.rewards)
        legal = sum(turn.action is not None for turn in session.turns)
        last.extra_fields["reward_extra_info"] = {
            "success": float(session.success),
            "turns": float(len(session.turns)),
            "legal": legal / len(session.turns),
        }
        return outputs


def _asked(session: EpisodeInPlay) -> tuple[list[Message], list[Image.Image]]:
    """Write the request for the next reply: messages with a block for each picture, and the pictures."""
    request = session.request()
    pictures = [Image.fromarray(frame) for frame in request.pictures()]
    return request.messages(), pictures
