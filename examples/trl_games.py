"""Train a model on several games by TRL's GRPO and tool calls.

pip install "vlm-gym[train]"
python examples/trl_games.py --model Qwen/Qwen3-VL-2B-Instruct --games 2048,swap --steps 100
"""

import argparse

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from vlm_gym.trainers.models.transformers_policy import load_model

from vlm_gym.adapters.trl import check, environments, rolled_back, rows

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument(
    "--model", required=True, help="a directory, or a model of the hub with tools in its template"
)
parser.add_argument("--games", default="2048,swap")
parser.add_argument("--size", type=int, default=224, help="pixels of a picture")
parser.add_argument("--turns", type=int, default=5, help="turns of an episode")
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--length", type=int, default=2048, help="tokens of an episode, pictures included")
parser.add_argument("-o", "--out", default="runs/trl")
asked = parser.parse_args()

games = asked.games.split(",")
model, processor = load_model(asked.model)
trainer = GRPOTrainer(
    model=model,
    processing_class=processor,
    reward_funcs=[rolled_back],  # logged, and of weight 0: the environments own the reward
    environment_factory=environments(games, perception={"size": asked.size}, reasoning=0, turns=asked.turns),
    train_dataset=Dataset.from_list(rows(games, 1000)),
    args=GRPOConfig(
        output_dir=asked.out,
        reward_weights=[0.0],
        max_steps=asked.steps,
        max_completion_length=asked.length,
        max_tool_calling_iterations=asked.turns,
        per_device_train_batch_size=8,
        num_generations=4,
        logging_steps=1,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    ),
)
check(trainer)
trainer.train()
