"""Options that several commands share."""

from typing import Annotated

import typer

GameName = Annotated[str, typer.Argument(metavar="GAME", help="A game's name; `vlm-gym games` lists them.")]
Perception = Annotated[
    str,
    typer.Option(
        "--perception", "-p", help="How hard to read: a level 0-4, or knobs such as `level=2,size=128`."
    ),
]
Reasoning = Annotated[
    str,
    typer.Option(
        "--reasoning",
        "-r",
        help="How hard to solve: a level 0-4, `paper`, or knobs such as `rows=8,kinds=9`.",
    ),
]
MODELS = "Models"
"""Heading of the options for models in the help."""
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="openai: address of the endpoint, as http://localhost:8000/v1.", rich_help_panel=MODELS
    ),
]
Concurrency = Annotated[
    int | None, typer.Option(help="openai: requests at the same time.", min=1, rich_help_panel=MODELS)
]
PerMinute = Annotated[
    float | None, typer.Option(help="openai: requests a minute, at most.", min=0, rich_help_panel=MODELS)
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        help="openai: seconds a whole reply may take, to its last byte; pauses do not count.",
        min=0,
        rich_help_panel=MODELS,
    ),
]
Retries = Annotated[
    int | None,
    typer.Option(help="openai: retries of a failed request.", min=0, rich_help_panel=MODELS),
]
Seed = Annotated[int, typer.Option("--seed", "-s", help="The deal: the same as env.reset(seed=...).")]


def named(words: list[str]) -> dict[str, object]:
    """Read options that are passed through, with values as TOML spells them, or else as plain words."""
    import tomllib

    named: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--engine {word} is not possible; write a name and a value: max_model_len=8192")
        try:
            named[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            named[name] = text
    return named
