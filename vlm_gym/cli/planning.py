"""The `plan` command: estimate the tokens, memory and time of a training run."""

from typing import Annotated

import typer

from vlm_gym.cli.training import Changes, Config, load_trainer


def plan(
    config: Config,
    changes: Changes = None,
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs to compare, separated by commas.")] = "1",
    gpu: Annotated[
        str | None,
        typer.Option(help="h100, a100, ...; default: h100, or cpu for a tiny model without a GPU."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="GB of each GPU; default: those of its data sheet.", min=0)
    ] = None,
    utilisation: Annotated[
        float, typer.Option(help="Share of a GPU's peak arithmetic and bandwidth that is reached.", max=1)
    ] = 0.4,
    reply_tokens: Annotated[
        int | None, typer.Option(help="Tokens of a reply; default: those of the solver's replies.", min=1)
    ] = None,
    dollars: Annotated[
        float | None,
        typer.Option("--dollars-per-gpu-hour", help="Price of a GPU hour; adds the total price.", min=0),
    ] = None,
) -> None:
    """Print what a recipe would run: stages, tokens, memory and time. No weights are loaded.

    vlm-gym plan configs/g1_qwen2_5_vl_7b.toml --gpus 4,8,32 --dollars-per-gpu-hour 3
    """
    from rich.console import Console

    if not all(word.strip().isdigit() for word in gpus.split(",")):
        raise ValueError(f"--gpus {gpus} is not possible; write numbers of GPUs by commas, as in 4,8,32")
    planner, layout, recipe = map(load_trainer, ("planning.plan", "planning.tables", "recipe"))
    made = planner.plan(
        recipe.load_recipe(config, changes or []),
        gpus=[int(word) for word in gpus.split(",")],
        card_name=gpu,
        room=memory,
        utilisation=utilisation,
        reply=reply_tokens,
    )
    console = Console(markup=False)  # the name of a model may hold brackets
    for part in layout.plan_tables(made, dollars):
        console.print(part)
