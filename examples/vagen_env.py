"""Play a game as VAGEN does, with the solver as its model: ``python examples/vagen_env.py --steps 5``.

In VAGEN, name the class in the registry of environments; a row is the configuration of an environment:

    env_registry:
      VlmGym: vlm_gym.adapters.vagen.VagenEnv
"""

import argparse
import asyncio

from vlm_gym.adapters.vagen import VagenEnv
from vlm_gym.prompt import solution


async def play(game: str, steps: int) -> None:
    """Play an episode and print the reward of each turn."""
    env = VagenEnv(
        {"game": game, "perception": 1, "reasoning": 1, "weights": {"game": 1.0, "perception": 0.2}}
    )
    obs, _ = await env.reset(seed=0)
    print((await env.system_prompt())["obs_str"])
    done = False
    while not done and steps > 0:
        picture = obs["multi_modal_input"]["<image>"][0]
        reply = solution(env._session.run.game, env._session.run.state)
        obs, reward, done, info = await env.step(reply or "")
        steps -= 1
        print(f"{picture.size} reward {reward:.3f} success {info['success']}")
    await env.close()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--game", default="2048")
parser.add_argument("--steps", type=int, default=20, help="turns at most")
asked = parser.parse_args()
asyncio.run(play(asked.game, asked.steps))
