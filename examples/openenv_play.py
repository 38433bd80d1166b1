"""Play an episode on a server of OpenEnv, by a model behind an OpenAI-compatible endpoint or by fixed moves.

pip install "vlm-gym[openenv]"
python -m vlm_gym.adapters.openenv.server --game 2048
python examples/openenv_play.py --url http://127.0.0.1:8000 --model NAME --base-url http://127.0.0.1:8001/v1
"""

import argparse
import os
from itertools import count

from openai import OpenAI

from vlm_gym.adapters.openenv import GameClient, as_message

MOVES = ("left", "down", "right", "up")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server of games")
parser.add_argument("--index", type=int, default=0, help="the deal of the training split")
parser.add_argument("--steps", type=int, default=20, help="turns to play at most")
parser.add_argument("--model", help="the name of a model; without one, moves are fixed")
parser.add_argument("--base-url", help="the endpoint of the model")
asked = parser.parse_args()


def reply(messages: list[dict[str, object]], turn: int) -> str:
    """Reply to what is shown."""
    if asked.model is None:
        return f"<answer>{MOVES[turn % len(MOVES)]}</answer>"
    key = os.environ.get("OPENAI_API_KEY", "none")
    answer = OpenAI(base_url=asked.base_url, api_key=key).chat.completions.create(
        model=asked.model, messages=messages
    )
    return answer.choices[0].message.content or ""


total = 0.0
with GameClient(base_url=asked.url).sync() as env:
    result = env.reset(split="train", index=asked.index)
    first = as_message(result.observation)  # the picture and the instructions
    for turn in count():
        if result.done or turn == asked.steps:
            break
        # The caller owns the history: here each request shows the instructions and the present picture alone.
        shown = as_message(result.observation)
        shown["content"][1] = first["content"][1]
        result = env.step(reply([shown], turn))
        total += result.reward
        print(f"turn {turn + 1}: reward {result.reward:+.3f} {result.observation.text}")
print(f"played {turn} turns, return {total:.3f}")
