"""Write the tables of docs/results.md from training runs, and keep their numbers.

python docs/tables.py runs/one runs/two -o docs/results/quickstart

A run is a seed of one recipe. Its recipe, versions, evaluation and every fifth step of GRPO go to a file
beside the others, such as ``docs/results/quickstart-0.json``. The tables are printed as Markdown.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

STAGES = {"cold_start": "after the cold start", "grpo": "after GRPO"}
BASELINES = ("random", "solver")
KEPT = 5
"""One of so many lines of GRPO's numbers is kept."""
HEADS = ("game", "player", "seed", "return", "goal reached, %", "normalised", "legal, %", "true sentences, %")
EVERYTHING = "over all games"

Numbers = dict[str, list[float]]
"""Mean and ends of the 95 % interval of each number."""
Evaluation = dict[str, dict[str, dict[str, Numbers]]]
"""Numbers by decoding, policy and game, with `EVERYTHING` among the games."""


def evaluation_of(run: Path) -> Evaluation:
    """Read the results of a run. Raises `ValueError` if an evaluation is not complete."""
    found: Evaluation = {}
    for path in sorted(run.glob("evaluation/*/results.json")):
        results = json.loads(path.read_text())
        if not results["complete"]:
            raise ValueError(f"{path} is not complete; resume the run")
        policies = found[path.parent.name] = {}
        for policy in results["policies"]:
            name = _stage(policy["policy"])
            games = {game: part["numbers"] for game, part in policy["games"].items()}
            policies[name] = {**games, EVERYTHING: policy["overall"]["numbers"]}
    if not found:
        raise ValueError(f"{run} has no evaluation; is it the folder of a finished run?")
    return found


def _stage(policy: str) -> str:
    """Name a model by its stage, which is the folder above it."""
    kind, _, path = policy.partition(":")
    return Path(path).parent.name if kind == "hf" else policy


def record(run: Path) -> dict[str, Any]:
    """Collect what is kept of a run."""
    about = json.loads((run / "run.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    curve = [line for line in lines if line["stage"] == "grpo" and "reward" in line]
    kept = {name: about[name] for name in ("recipe", "versions", "python", "processes")}
    return {**kept, "evaluation": evaluation_of(run), "curves": curve[::KEPT]}


def table(runs: Sequence[dict[str, Any]], decoding: str) -> Iterator[str]:
    """Yield the lines of the table of one decoding: games, and in each the baselines and all seeds."""
    yield f"| {' | '.join(HEADS)} |"
    yield "| --- | --- | --- | --- | --- | ---: | ---: | ---: |"
    first = runs[0]["evaluation"][decoding]
    for game in first["random"]:
        for name in BASELINES:
            yield _row(game, name, "", first[name][game])
        for run in runs:
            policies = run["evaluation"][decoding]
            for stage, words in STAGES.items():
                if stage in policies:
                    yield _row(game, words, str(run["recipe"]["seed"]), policies[stage][game])


def _row(game: str, player: str, seed: str, numbers: Numbers) -> str:
    """Write a row. Returns of different games are not averaged."""
    cells = [game, player, seed]
    cells.append(_interval(numbers.get("return"), 1.0, 2))
    cells.append(_interval(numbers.get("success"), 100.0, 0))
    cells.append(_interval(numbers.get("normalised"), 1.0, 1))
    cells.append(_mean(numbers.get("legal")))
    cells.append(_mean(numbers.get("thought")))
    return f"| {' | '.join(cells)} |"


def _interval(number: Sequence[float] | None, factor: float, digits: int) -> str:
    """Write a mean and its interval; nothing where it was not measured."""
    if number is None:
        return ""
    mean, low, high = (f"{factor * value:.{digits}f}" for value in number)
    return f"{mean} [{low}, {high}]"


def _mean(share: Sequence[float] | None) -> str:
    """Write a share as a percentage; nothing where it was not measured."""
    return "" if share is None else f"{100 * share[0]:.0f}"


def main() -> None:
    """Read the command line, keep the numbers and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of one recipe")
    parser.add_argument("-o", "--out", type=Path, required=True, help="how the files begin")
    asked = parser.parse_args()
    try:
        runs = [record(run) for run in asked.runs]
    except (OSError, ValueError) as error:
        sys.exit(f"tables.py: {error}")
    for run in runs:
        path = asked.out.with_name(f"{asked.out.name}-{run['recipe']['seed']}.json")
        path.write_text(json.dumps(run, separators=(",", ":")) + "\n")
    for decoding in sorted(runs[0]["evaluation"], reverse=True):  # greedy replies last
        lines = [f"{decoding}:", "", *table(runs, decoding), ""]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
