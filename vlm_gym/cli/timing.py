"""The command that measures speed."""

from pathlib import Path
from typing import Annotated

import typer

from vlm_gym.cli.training import load_trainer


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GAME]...", help="Games to time; all, and installed peers, if none."),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(help="Rounds, of which each figure is the best; with --training, steps to time.", min=1),
    ] = 5,
    json: Annotated[
        Path | None,
        typer.Option("--json", help="Write the figures to this file; `-` prints them without a table."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Print new / old, old from a file of --json.")
    ] = None,
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="Time GRPO instead, beside TRL's plain trainer with an images column."
        ),
    ] = False,
) -> None:
    """Time resets, rules and pictures, in copies of a frame measured in the same run.

    vlm-gym bench 2048 --json before.json

    vlm-gym bench --training
    """
    from rich.console import Console

    if training:
        if names or json or against:
            raise ValueError("--training times one fixed task; leave out games, --json and --against")
        benchmark = load_trainer("benchmark")
        Console().print(benchmark.rate_table(benchmark.time_trainers(rounds)))
        return

    from vlm_gym.bench import bench_tables, from_json, measure_all, to_json

    old = None if against is None else from_json(against.read_text())
    rows = measure_all(names or [], rounds)
    if json == Path("-"):
        typer.echo(to_json(rows))
        return
    if json is not None:
        json.write_text(to_json(rows))
    for table in (*bench_tables(rows), *(bench_tables(rows, old) if old else ())):
        Console().print(table)
