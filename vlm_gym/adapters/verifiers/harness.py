"""The harness: it plays an episode in this process, and asks the model through the endpoint of the rollout.

The stock way, a conversation that the environment drives, starts a program for every turn.
"""

import asyncio
from typing import Any

import verifiers.v1 as vf
from openai import AsyncOpenAI

from vlm_gym.adapters.network import begin_from_network
from vlm_gym.adapters.play import EpisodeInPlay, begin
from vlm_gym.adapters.verifiers.taskset import PLAYED


class GameHarnessConfig(vf.HarnessConfig):
    """How episodes are played, under ``--env.agent.harness.*``."""

    history: int | None = None
    """Turns before the present one that a request shows; None: 16 in games that need memory, else 0."""
    folders: bool = False
    """Whether a row may name a folder of pictures. Rows reach a server of environments over a network."""


class GameHarness(vf.Harness[GameHarnessConfig]):
    """Plays the row of a task, turn by turn.

    Writes to `trace.info` under `PLAYED`, a list with one entry a turn each: ``rewards``, ``terms``,
    ``legal``, ``feedback`` and ``nodes``, the node of the trace that holds the turn's reply. Per-turn credit
    assigns the rewards to the nodes.
    """

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = False
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        """Play an episode to its end. A fault of the model's endpoint is retried twice, then raises."""
        row = {**data.row, "history": self.config.history}
        session = await asyncio.to_thread(self._begin, row)
        played = _empty(session)
        # Filled turn by turn, so that a rollout that is cut short keeps its turns.
        trace.info[PLAYED] = played
        system = [] if data.system_prompt is None else [{"role": "system", "content": data.system_prompt}]
        async with AsyncOpenAI(base_url=endpoint, api_key=secret) as client:
            while not session.ended:
                # Games and pictures take milliseconds each, of which other rollouts should not wait.
                messages: Any = system + await asyncio.to_thread(session.messages)
                completion = await client.chat.completions.create(model=ctx.model, messages=messages)
                reply = completion.choices[0].message.content
                answered = await asyncio.to_thread(session.answer, reply)
                played["rewards"].append(answered.reward)
                played["terms"].append(dict(answered.terms))
                played["legal"].append(answered.legal)
                played["feedback"].append(answered.feedback)
                played["nodes"].append(trace.calls[-1].node)
                played["success"] = session.success
                played["score"] = session.run.state.score
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")

    def _begin(self, row: dict[str, Any]) -> EpisodeInPlay:
        return begin(row) if self.config.folders else begin_from_network(row, {})


def _empty(session: EpisodeInPlay) -> dict[str, Any]:
    return {
        "rewards": [],
        "terms": [],
        "legal": [],
        "feedback": [],
        "nodes": [],
        "success": session.success,
        "score": session.run.state.score,
    }
