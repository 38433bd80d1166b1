"""Grade what a model of LLaMA-Factory replied to exported rows, each reply by its row.

vlm-gym data mine.toml -o data --format llamafactory
llamafactory-cli train predict.yaml     # do_predict: true; writes generated_predictions.jsonl
python examples/grade_predictions.py data/rows.parquet generated_predictions.jsonl
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from vlm_gym.trainers.data.exports import read_rows

from vlm_gym.adapters.grading import grade

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("rows", type=Path, help="the rows that were exported")
parser.add_argument("predictions", type=Path, help="JSON lines in the same order, replies under 'predict'")
parser.add_argument("--steps", type=int, help="rows to grade, at most")
asked = parser.parse_args()

with asked.predictions.open(encoding="utf-8") as file:
    replies = [json.loads(line)["predict"] for line in islice(file, asked.steps)]
rows = list(islice(read_rows(asked.rows), len(replies) + 1))
if len(rows) < len(replies) or (asked.steps is None and len(rows) > len(replies)):
    raise SystemExit(f"{len(replies)} replies do not fit the rows of {asked.rows}")
graded = []
for row, reply in zip(rows, replies, strict=False):
    position = json.dumps({"game": row["game"], "state": json.loads(row["state"])})
    graded.append(grade(position, reply))
for name in graded[0]:
    print(f"{name:12}{sum(each[name] for each in graded) / len(graded):7.3f}")
