"""Train MaskablePPO of sb3-contrib on the pictures of a game.

pip install vlm-gym sb3-contrib
python examples/sb3.py --game 2048 --steps 1000
"""

import argparse

import gymnasium as gym
from sb3_contrib import MaskablePPO

import vlm_gym  # noqa: F401  # registers the games

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--game", default="2048")
parser.add_argument("--steps", type=int, default=10_000, help="turns to train for")
asked = parser.parse_args()

env = gym.make(f"vlm_gym/{asked.game}-v0", perception={"size": 112}, reasoning=1)
rollout = min(256, asked.steps)
model = MaskablePPO("CnnPolicy", env, n_steps=rollout, batch_size=rollout, verbose=1)
model.learn(asked.steps)
print(f"trained for {model.num_timesteps} turns")
