"""Play one held-out episode with a model behind an OpenAI-compatible endpoint.

python examples/llm_plays.py --model NAME --base-url http://localhost:8000/v1

The key is read from OPENAI_API_KEY. `vlm-gym eval --policy openai:NAME` plays many episodes, with intervals.
"""

import argparse

import vlm_gym

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="the name of the model at the endpoint")
parser.add_argument("--base-url", help="the endpoint; without it, that of OpenAI")
parser.add_argument("--game", default="2048")
parser.add_argument("--index", type=int, default=0, help="the number of the episode in the test split")
asked = parser.parse_args()

policy = vlm_gym.make_policy(f"openai:{asked.model}", base_url=asked.base_url)
episode = vlm_gym.Episode(asked.game, perception="1", reasoning="1", split="test", index=asked.index)

total = 0.0
for turn in vlm_gym.rollout([episode], policy):  # each request shows the rules and the picture
    total += turn.rewards["game"]
    played = turn.action or f"no move: {turn.error}"
    print(f"turn {turn.number + 1}: {played}, reward {turn.rewards['game']:+.3f}")
print(f"return {total:.3f}, goal reached: {turn.success}")
