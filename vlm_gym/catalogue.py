"""The catalogue on the terminal: which games there are, and every knob with its range and effect."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from vlm_gym.knobs import Knobs, span
from vlm_gym.registry import find, names
from vlm_gym.render import LOOKS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def all_games() -> Iterator["RenderableType"]:
    """Show a line a game, and the perception knobs that all of them share."""
    from rich.table import Table

    table = Table(title="Games", title_justify="left", title_style="bold")
    for heading in ("name", "title", "reasoning", "actions at level 2", "score"):
        table.add_column(heading)
    for name in names():
        game = find(name)
        levels = ", ".join(["0-4", *game.presets])
        table.add_row(name, game.title, levels, f"{len(game.actions(game.levels[2])):,}", game.unit)
    yield table
    yield knob_table("Perception knobs, the same for every game", LOOKS)
    yield "All about one game: vlm-gym games NAME"


def one_game(name: str) -> Iterator["RenderableType"]:
    """Show the rules, the form of an action, and the reasoning knobs at every level."""
    game = find(name)
    yield f"[bold]{game.title}[/bold] (vlm_gym/{name}-v0)"
    yield game.rules(game.levels[2])
    yield game.form
    yield knob_table("Reasoning knobs", game.levels)
    for preset, knobs in game.presets.items():
        named = ", ".join(f"{entry.name}={getattr(knobs, entry.name)}" for entry in fields(knobs))
        yield f'reasoning="{preset}": {named}'


def knob_table(title: str, levels: Sequence[Knobs]) -> "Table":
    """Lay out knobs: range, effect, and the value at each level."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("knob", no_wrap=True)
    table.add_column("takes")
    table.add_column("effect")
    for level in range(len(levels)):
        table.add_column(str(level), justify="right")
    for entry in fields(levels[0]):
        values = [str(getattr(level, entry.name)) for level in levels]
        table.add_row(entry.name, span(entry.metadata["within"]), entry.metadata["effect"], *values)
    return table
