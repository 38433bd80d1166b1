"""Options that several commands share."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

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
MODELS_PANEL = "Models"
"""Heading of the options for models in the help."""
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="openai: address of the endpoint, as http://localhost:8000/v1.", rich_help_panel=MODELS_PANEL
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of the model; repeat it for more. "
        "openai: concurrency=16 requests at the same time, per_minute=60 requests at most, time_limit=120 "
        "seconds a whole reply may take, retries=5 of a failed request, dollars_in=1.25 and dollars_out=10 "
        "as prices of a million tokens. hf: batch=32 requests at the same time, device=cuda:1. "
        "hf: pictures.NAME=VALUE for the image processor. vllm: engine.max_model_len=8192 and whatever "
        "else the engine takes.",
        rich_help_panel=MODELS_PANEL,
    ),
]
Seed = Annotated[int, typer.Option("--seed", "-s", help="The deal: the same as env.reset(seed=...).")]


def parse_options(pairs: list[str], flag: str, example: str) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` pairs of a flag, with values as TOML spells them, or else as plain words.

    A dot in a name makes a table: ``engine.seed=1`` is ``{"engine": {"seed": 1}}``. Raises `ValueError` that
    shows an example.
    """
    import tomllib

    named: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        *table_names, last = name.split(".")
        if not equals or not all([*table_names, last]):
            raise ValueError(f"{flag} {pair} is not possible; write a name and a value: {example}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = named
        for table_name in table_names:
            table = table.setdefault(table_name, {})
            if not isinstance(table, dict):
                raise ValueError(f"{flag} {pair} is not possible: {table_name} is {table!r} already")
        table[last] = value
    return named


def model_options(base_url: str | None, pairs: list[str] | None) -> dict[str, Any]:
    """Gather what a model takes from ``--base-url`` and ``--option``."""
    given = parse_options(pairs or [], "--option", "concurrency=16")
    return given if base_url is None else {"base_url": base_url, **given}


MOVED = {
    "concurrency": "concurrency=VALUE",
    "per-minute": "per_minute=VALUE",
    "time-limit": "time_limit=VALUE",
    "retries": "retries=VALUE",
    "dollars-in": "dollars_in=VALUE",
    "dollars-out": "dollars_out=VALUE",
    "batch": "batch=VALUE",
    "device": "device=VALUE",
    "max-tokens": "max_tokens=VALUE",
    "engine": "engine.NAME=VALUE",
}
"""Flags of earlier versions that are options of the model now, with their new form."""


RENAMED = {"--lanes": "--parallel-episodes", "--episode-limit": "--reply-budget"}
"""Flags of earlier versions that have another name now. They are accepted, with a note."""


class WithOptions(TyperCommand):
    """A command with ``--option``, which also accepts the flags of earlier versions."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line. A renamed flag leads to one line on standard error.

        Raises `ValueError` with the new form for a flag that is an option of the model now.
        """
        arguments = []
        for argument in args:
            name, *value = argument.split("=", 1)
            if name.startswith("--") and name[2:] in MOVED:
                raise ValueError(f"{name} is an option of the model now: write --option {MOVED[name[2:]]}")
            if name in RENAMED:
                typer.echo(f"{name} is called {RENAMED[name]} now", err=True)
                name = RENAMED[name]
            arguments.append("=".join([name, *value]))
        return super().parse_args(ctx, arguments)
