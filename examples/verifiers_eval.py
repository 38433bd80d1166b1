"""Evaluate a model behind an OpenAI-compatible endpoint with verifiers, and print the reward of every turn.

pip install . integrations/verifiers
python examples/verifiers_eval.py --model NAME --base-url http://127.0.0.1:8001/v1
"""

import argparse
import asyncio

import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment

from vlm_gym.adapters.verifiers import GameTasksetConfig, VerifiersEnvConfig

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="the name of the model")
parser.add_argument("--base-url", required=True, help="the endpoint of the model")
parser.add_argument("--games", nargs="+", default=["2048"])
parser.add_argument("--steps", type=int, default=15, help="turns an episode at most")
parser.add_argument("--episodes", type=int, default=2)
asked = parser.parse_args()


async def main() -> None:
    """Play the episodes one after another."""
    taskset = GameTasksetConfig(
        id="vlm-gym-games", games=asked.games, turns=asked.steps, num_tasks=asked.episodes
    )
    environment = load_environment(VerifiersEnvConfig(taskset=taskset))
    endpoint = vf.EvalClientConfig(base_url=asked.base_url, api_key_var="OPENAI_API_KEY")
    context = vf.ModelContext(client=endpoint, model=asked.model, sampling=vf.SamplingConfig())
    async with environment.serving():
        for task in environment.taskset:
            (slot,) = environment.slots(task)
            episode = await environment.run_slot(slot, context)
            trace = episode.traces[0]
            rewards = trace.info["vlm_gym"]["rewards"]
            print(task.key, f"return {trace.reward:.3f}", [round(reward, 3) for reward in rewards])


asyncio.run(main())
