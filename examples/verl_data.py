"""Write rows and the configuration of the agent loop for verl: ``python examples/verl_data.py -o data/verl``.

Then train with, beside your own options:

    data.train_files=data/verl/train.parquet trainer.use_v1=True
    actor_rollout_ref.rollout.agent.agent_loop_config_path=data/verl/loops.yaml
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

LOOPS = "- name: vlm_gym\n  _target_: vlm_gym.adapters.verl.GameLoop\n"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--games", default="2048,swap")
parser.add_argument("--steps", type=int, default=1000, help="episodes of each game")
parser.add_argument("--turns", type=int, default=15, help="turns of an episode, at most")
parser.add_argument("-o", "--out", type=Path, default=Path("data/verl"))
asked = parser.parse_args()

rows = []
for index in range(asked.steps):
    for game in asked.games.split(","):
        episode = {"game": game, "perception": "1", "reasoning": "1", "split": "train", "index": index}
        rows.append(
            {
                "data_source": "vlm_gym",
                "agent_name": "vlm_gym",
                "prompt": [{"role": "user", "content": ""}],  # the loop writes its own
                "extra_info": {**episode, "turns": asked.turns},
            }
        )
asked.out.mkdir(parents=True, exist_ok=True)
pq.write_table(pa.Table.from_pylist(rows), asked.out / "train.parquet")
(asked.out / "loops.yaml").write_text(LOOPS)
print(f"wrote {len(rows)} rows to {asked.out / 'train.parquet'}")
