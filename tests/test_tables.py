"""The tables of docs/results.md, written from the folders of runs."""

import json
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def policy(name: str, share: float) -> dict[str, object]:
    """Write the results of a policy, as an evaluation does, with one game."""
    numbers = {"return": [share, share - 0.1, share + 0.1], "success": [share, 0.0, 1.0]}
    return {"policy": name, "games": {"swap": {"numbers": numbers}}, "overall": {"numbers": {}}}


def run(folder: Path, seed: int, complete: bool = True) -> Path:
    """Write the folder of a run with a seed."""
    place = folder / f"run{seed}"
    policies = [
        policy("random", 0.0),
        policy("solver", 1.0),
        policy(f"hf:{place}/cold_start/model", 0.25),
        policy(f"hf:{place}/grpo/model", 0.5),
    ]
    (place / "evaluation/greedy").mkdir(parents=True)
    results = json.dumps({"complete": complete, "policies": policies})
    (place / "evaluation/greedy/results.json").write_text(results)
    about = {"recipe": {"seed": seed}, "versions": {}, "python": "3.11.7", "processes": 1}
    (place / "run.json").write_text(json.dumps(about))
    lines = [{"stage": "grpo", "step": step, "reward": 1.0} for step in range(1, 11)]
    (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def tables(*runs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOCS / "tables.py"), *map(str, runs), "-o", str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_seed_has_its_rows_and_its_file(tmp_path: Path) -> None:
    done = tables(run(tmp_path, 0), run(tmp_path, 1), out=tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| swap")]
    assert len(rows) == 2 + 2 * 2
    assert "| swap | after GRPO | 1 | 0.50 [0.40, 0.60] | 50 [0, 100] |  |  |  |" in rows
    for seed in (0, 1):
        kept = json.loads((tmp_path / f"kept-{seed}.json").read_text())
        assert kept["recipe"]["seed"] == seed
        assert [line["step"] for line in kept["curves"]] == [1, 6]
        assert kept["evaluation"]["greedy"]["grpo"]["swap"]["return"] == [0.5, 0.4, 0.6]


def test_a_run_that_is_not_finished_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    for bad in (run(tmp_path, 0, complete=False), tmp_path / "none"):
        done = tables(bad, out=tmp_path / "kept")
        assert done.returncode == 1
        assert done.stderr.startswith("tables.py: ")
        assert done.stderr.count("\n") == 1
        assert not list(tmp_path.glob("kept*"))
