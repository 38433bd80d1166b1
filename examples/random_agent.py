"""Play an episode at random: ``python examples/random_agent.py --game swap --seed 7``."""

import argparse

import gymnasium as gym

import vlm_gym  # noqa: F401  # registers the games

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--game", default="2048")
parser.add_argument("--seed", type=int, default=7, help="the deal, and the seed of the agent")
asked = parser.parse_args()

env = gym.make(f"vlm_gym/{asked.game}-v0", perception=1, reasoning=1)
picture, info = env.reset(seed=asked.seed)  # picture: uint8 (448, 448, 3)
env.action_space.seed(asked.seed)

total = 0.0
ended = False
while not ended:
    action = env.action_space.sample(info["action_mask"])  # among the legal actions
    picture, reward, terminated, truncated, info = env.step(action)
    ended = terminated or truncated
    total += reward
    print(f"{env.unwrapped.words[action]}: reward {reward:+.3f}, {info['event']}")
print(f"return {total:.3f}, goal reached: {info['success']}")
