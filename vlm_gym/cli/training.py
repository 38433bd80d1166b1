"""Commands for training: a whole run, or the data of its cold start alone."""

import os
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from vlm_gym.interrupts import importing

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A recipe: a .toml file.", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the recipe, as data.rows=500; repeatable."
    ),
]


def data(
    config: Config,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the data; made only once.")],
    form: Annotated[
        list[str] | None, typer.Option("--format", help="Also write this format: llamafactory, easyr1.")
    ] = None,
    changes: Changes = None,
    workers: Annotated[int, typer.Option(help="Worker processes; 0: none.", min=0)] = 0,
) -> None:
    """Make the data of a cold start: rows as Parquet, and a page to look at some.

    vlm-gym data configs/quickstart.toml -o data/ --format llamafactory --set data.rows=500
    """
    recipe = load_trainer("recipe").load_recipe(config, changes or [])
    exports = load_trainer("data.exports")
    for name in form or []:
        exports.writer(name)  # checked before an hour of work
    maker = load_trainer("data.parquet")
    try:
        path = maker.make_rows(recipe, out, workers)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command starts again, and reuses all replies of a model", err=True)
        raise typer.Exit(130) from None
    written = [path, path.with_name(maker.PREVIEW_FILE)]
    written += [exports.export(path, name) for name in form or []]
    for each in dict.fromkeys(written):
        typer.echo(f"wrote {each}")


def train(
    config: Config,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the run; default: runs/NAME.")
    ] = None,
    changes: Changes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume this run where it was stopped.")] = False,
    num_processes: Annotated[
        int | None,
        typer.Option(
            help="Processes, one a GPU; without a GPU, one a core. If not given: one, or without a GPU what "
            "the recipe says.",
            min=1,
            show_default=False,
        ),
    ] = None,
    accelerate: Annotated[
        str | None,
        typer.Option(help="How weights are sharded: ddp, fsdp2, zero3, or a .yaml of accelerate."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Start them on a Ray cluster: auto, local, or HOST:PORT. Its nodes share the folder -o.",
        ),
    ] = None,
) -> None:
    """Train a model: cold start, GRPO, evaluation on held-out games, and a report.

    vlm-gym train configs/quickstart.toml

    vlm-gym train configs/quickstart.toml --set grpo.steps=80 --resume

    vlm-gym train configs/g1_qwen2_5_vl_7b.toml --num-processes 8 --accelerate fsdp2

    vlm-gym train configs/g1_qwen2_5_vl_7b.toml --ray auto --num-processes 32 --accelerate fsdp2 -o /shared/g1
    """
    from vlm_gym.masking import masked

    recipe = load_trainer("recipe").load_recipe(config, changes or [])
    folder = out or Path("runs") / config.stem
    one_of_many = "RANK" in os.environ  # started by a launcher, maybe by the one below
    command = masked(shlex.join(["vlm-gym", *sys.argv[1:]]))
    try:
        if ray is not None:
            how = {"how": accelerate or "ddp", "resume": resume, "command": command}
            page = load_trainer("ray_launch").train_on(ray, recipe, folder, num_processes or 1, **how)
        elif not one_of_many and (
            (count := num_processes or load_trainer("launch").usual(recipe)) > 1 or accelerate
        ):
            raise typer.Exit(load_trainer("launch").launch(sys.argv[1:], count, accelerate or "ddp"))
        else:
            page = load_trainer("train").train(recipe, folder, resume, command)
    except KeyboardInterrupt:
        if not one_of_many:
            typer.echo(f"stopped; with --resume the same command goes on in {folder}", err=True)
        raise typer.Exit(130) from None
    if os.environ.get("RANK", "0") == "0":
        last = "grpo" if recipe.grpo else "cold_start"
        typer.echo(f"wrote {page}; the trained model is in {folder / last / 'model'}")


def load_trainer(name: str) -> Any:
    """Import a module of `vlm_gym.trainers`. Raises `ValueError` that says what is not installed."""
    try:
        with importing():
            return import_module(f"vlm_gym.trainers.{name}")
    except ModuleNotFoundError as error:
        raise ValueError(f'training needs {error.name}, an extra: pip install "vlm-gym[train]"') from error
