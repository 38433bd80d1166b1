"""Play a game through skyrl-gym, with the solver as its model.

pip install "vlm-gym[skyrl]"
python examples/skyrl_env.py --steps 5

A training script of SkyRL calls `register` and reads rows such as those that `rows` makes.
"""

import argparse

import skyrl_gym

from vlm_gym.adapters.skyrl import register, rows
from vlm_gym.prompt import solution

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--game", default="2048")
parser.add_argument("--steps", type=int, default=20, help="turns at most")
asked = parser.parse_args()

register()
(row,) = rows([asked.game], 1, perception=1, reasoning=1)
env = skyrl_gym.make(row["env_class"], env_config=None, extras={**row, "max_turns": asked.steps})
messages, _ = env.init(row["prompt"])
done = False
while not done:
    print(messages[-1]["content"][-1]["text"])
    reply = solution(env._session.run.game, env._session.run.state) or ""
    output = env.step(reply)
    messages = output["observations"]
    done = output["done"]
    print(f"reward {output['reward']:.3f}")
print(env.get_metrics())
