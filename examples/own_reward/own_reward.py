"""A reward term of your own: thoughts of at most so many words earn the term ``short``.

pip install -e examples/own_reward
python examples/own_reward/own_reward.py
vlm-gym train configs/quickstart.toml --set grpo.weights.short=0.2 -o runs/short
"""

from vlm_gym.trainers.rewards import Graded, Term, grade_completion

import vlm_gym
from vlm_gym.prompt import instructions
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Request

MOST = 30


def score(graded: Graded) -> float:
    """Return 1 for a reply with a thought of at most `MOST` words, else 0."""
    thought = graded.reply.thought
    return float(thought is not None and len(thought.split()) <= MOST)


TERM = Term(score, weight=0.0, section="thought")
"""What the entry point in pyproject.toml names. A recipe sets the weight, as above."""

if __name__ == "__main__":
    game = vlm_gym.find("2048")
    state = game.start(1, game.levels[1])
    request = Request(game, state, look(1), 0, instructions(game, state.knobs))
    for thought in ("down merges most", "I wonder. " * 40):
        reply = f"<perception>?</perception><think>{thought}</think><answer>down</answer>"
        terms = {name: round(value, 3) for name, value in grade_completion(request, reply).terms.items()}
        print(f"{len(thought.split())} words: {terms}")
