"""The catalogue on the terminal: which games there are, and every knob with its range and effect."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from statistics import fmean
from typing import TYPE_CHECKING

from vlm_gym.game import Game
from vlm_gym.knobs import Knobs, span
from vlm_gym.registry import find, names
from vlm_gym.render import LOOKS
from vlm_gym.rollouts.states import Mixture, sample

if TYPE_CHECKING:
    from rich.console import RenderableType

TABLE_POSITIONS = 20
"""Positions of the solver's play whose thoughts are measured, at each level."""


def all_games() -> Iterator["RenderableType"]:
    """Show a line a game, and the perception knobs that all of them share."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Games (actions at reasoning level 2)", title_justify="left", title_style="bold")
    for heading in ("name", "title", "reasoning", "actions", "score"):
        table.add_column(heading, no_wrap=heading == "name")
    for name in names():
        try:
            game = find(name)
        except (ImportError, ValueError) as error:  # a broken game must not hide the others
            table.add_row(name, Text(f"cannot be loaded: {error}", style="red"))
            continue
        levels = ", ".join(["0-4", *game.presets])
        table.add_row(name, game.title, levels, _count(game), game.unit)
    yield table
    yield from knob_lines("Perception knobs, the same for every game", LOOKS)
    yield "\nAll about one game: vlm-gym games NAME"


def _count(game: Game) -> str:
    """Count the actions at level 2."""
    actions = game.actions(game.levels[2])
    return f"{len(actions):,}" if actions else "open"


def one_game(name: str) -> Iterator["RenderableType"]:
    """Show the rules, the form of an action, and the reasoning knobs at every level."""
    from rich.markup import escape

    game = find(name)
    yield f"[bold]{escape(game.title)}[/bold] (vlm_gym/{name}-v0)"
    yield escape(game.rules(game.levels[2]))
    yield escape(game.form)
    yield from _thoughts(game)
    yield from knob_lines("Reasoning knobs", game.levels)
    for preset, knobs in game.presets.items():
        named = ", ".join(f"{entry.name}={getattr(knobs, entry.name)}" for entry in fields(knobs))
        yield f'\n[bold]reasoning="{preset}"[/bold]: {escape(named)}'


def _thoughts(game: Game) -> Iterator["RenderableType"]:
    """Show an example of a thought and how long thoughts are at every level and preset."""
    from rich.markup import escape

    if game.think(game.start(0, game.levels[0])) is None:
        yield "\nThis game has no thoughts, so no teacher for a cold start."
        return
    lengths: list[str] = []
    example = ""
    for level in (*map(str, range(len(game.levels))), *game.presets):
        mixture = Mixture(game=game.name, reasoning=level, solver=1.0, moves=20)
        counts = list[int]()  # words of each thought
        for _, state, _ in sample(TABLE_POSITIONS, [mixture], 0):
            thought = game.think(state)
            if thought is not None:
                example = example or thought.words
                counts.append(len(thought.words.split()))
        if counts:
            lengths.append(f"{level}: {fmean(counts):.0f}")
    yield "\n[bold]A thought[/bold]"
    yield escape(example)
    yield f"Mean words of a thought, by level: {', '.join(lengths)}"


def knob_lines(title: str, levels: Sequence[Knobs]) -> Iterator["RenderableType"]:
    """List knobs: the value at each level (or once if all agree), what it does, what it takes."""
    from rich.markup import escape
    from rich.padding import Padding

    yield f"\n[bold]{title}[/bold], at levels 0 to {len(levels) - 1}"
    for entry in fields(levels[0]):
        values = [str(getattr(level, entry.name)) for level in levels]
        shown = values[0] if len(set(values)) == 1 else " | ".join(values)
        yield f"  [bold]{entry.name}[/bold]  [cyan]{escape(shown)}[/cyan]"
        effect = escape(f"{entry.metadata['effect']}. Takes {span(entry.metadata['within'])}.")
        yield Padding(f"[dim]{effect}[/dim]", (0, 0, 0, 6))
