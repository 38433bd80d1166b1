"""The page of a game in the documents: made when the site is built, from the rules and the game's card."""

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO

from vlm_gym.gallery.card import baselines_of, head, knob_table
from vlm_gym.gallery.pages import FILM
from vlm_gym.gallery.show import THUMB, picture, reach
from vlm_gym.game import Game
from vlm_gym.prompt import instructions, solution
from vlm_gym.registry import find, names

SEED = 7
"""The deal of the example, which is that of the films in the documents."""

LEVEL = FILM["reasoning"]


def game_page(name: str, shown: str, example: str) -> str:
    """Write the page of a game as Markdown.

    `shown` is the folder of the gallery as the page links to it, `example` the file of `example_picture`.
    """
    game = find(name)
    parts = [
        *head(game, f"{shown}/{name}.jpg"),
        f"{_source(game)}\n",
        *_example(game, shown, example),
        *knob_table(game),
        "",
        baselines_of(game),
    ]
    return "\n".join(parts) + "\n"


def example_picture(name: str) -> bytes:
    """Draw the first turn of the example, as PNG."""
    png = BytesIO()
    picture(name, {"level": 0, "size": THUMB}, LEVEL, SEED).save(png, "PNG", optimize=True)
    return png.getvalue()


def games_page() -> str:
    """Write the table of all games as Markdown, with links to their pages."""
    lines = ["# Games\n", "| game | source | actions at level 2 | score |", "| --- | --- | ---: | --- |"]
    for name in names():
        game = find(name)
        count = len(game.actions(game.levels[2])) or "open"
        lines.append(f"| [{game.title}]({name}.md) | {_source(game)} | {count} | {game.unit} |")
    return "\n".join(lines) + "\n"


def _source(game: Game) -> str:
    """Return the first sentence on the game's module: its author and year."""
    words = import_module(type(game).__module__).__doc__ or ""
    return " ".join(words.split("\n\n")[0].split())


def _example(game: Game, shown: str, example: str) -> Iterator[str]:
    """Write what a model reads at a position, and the reply that a cold start teaches."""
    state = reach(game.name, LEVEL, SEED)
    yield "## Example\n"
    yield f"The solver plays at reasoning level {LEVEL}:\n"
    yield f"![{game.title}, played by the solver]({shown}/{game.name}.gif)\n"
    yield "At the first turn, a model gets this picture and this text:\n"
    yield f"![The picture of the first turn]({example})\n"
    yield f"```text\n{instructions(game, state.knobs)}\n```\n"
    reply = solution(game, state)
    if reply is not None:
        yield "The reply that a cold start teaches: the true perception, the thought, the answer.\n"
        yield f"```text\n{reply}\n```\n"
