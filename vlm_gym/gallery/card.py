"""A game's card: its picture, its knobs, and the scores of baselines at each level.

The card is made by ``vlm-gym card NAME`` and never by hand; its figures are those of that run.
"""

from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from vlm_gym.bars import bars
from vlm_gym.episode import deal
from vlm_gym.gallery.show import draw_boards
from vlm_gym.game import Game
from vlm_gym.knobs import span
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import PLAYERS, BaselineResult, play_baseline

if TYPE_CHECKING:
    from PIL.Image import Image

BASELINES_HEADING = "## Baselines"
"""The heading of the scores of baselines."""


def write_card(name: str, episodes: int) -> Path:
    """Play the baselines and write ``README.md`` and ``card.png`` into the game's folder."""
    game = find(name)
    path = _card(game)
    portrait(name).save(path.with_name("card.png"), optimize=True)
    lines = [*head(game, "card.png"), *knob_table(game), "", *_results(game, episodes)]
    path.write_text("\n".join(lines) + "\n")
    return path


def portrait(name: str, seed: int = 7) -> "Image":
    """Draw the game at every perception level, three reasoning levels down."""
    return draw_boards(name, (0, 2, 4), seed, 2)


def baselines_of(game: Game) -> str:
    """Return the section of a game's card with the scores of baselines, which takes long to make again."""
    _, heading, section = _card(game).read_text().partition(BASELINES_HEADING)
    return heading + section.rstrip()


def _card(game: Game) -> Path:
    """Return where the card of a game is."""
    return Path(str(import_module(type(game).__module__).__file__)).with_name("README.md")


def head(game: Game, picture: str) -> Iterator[str]:
    """Write the title, the rules and the form of an action. `picture` is what the page links to."""
    yield f"# {game.title}\n"
    yield f'`gym.make("vlm_gym/{game.name}-v0", perception=0, reasoning=2)`\n'
    yield f"![{game.title} at several levels]({picture})\n"
    yield f"{game.rules(game.levels[2])}\n"
    yield f"An action is {game.form}. The score counts {game.unit}.\n"


def knob_table(game: Game) -> Iterator[str]:
    """Write the reasoning knobs, with their values at every level and preset."""
    settings = {str(level): knobs for level, knobs in enumerate(game.levels)} | dict(game.presets)
    yield "## Reasoning knobs\n"
    yield _line("knob", "takes", "effect", *settings)
    yield _line("---", "---", "---", *("---:" for _ in settings))
    for entry in fields(game.levels[0]):
        values = (str(getattr(knobs, entry.name)) for knobs in settings.values())
        yield _line(f"`{entry.name}`", span(entry.metadata["within"]), entry.metadata["effect"], *values)


def _results(game: Game, episodes: int) -> Iterator[str]:
    settings = {str(level): knobs for level, knobs in enumerate(game.levels)} | dict(game.presets)
    yield f"{BASELINES_HEADING}\n"
    yield (
        f"Return with its standard error, and the share of games won, over {episodes} games of the test "
        f"stream; with the paper's rewards, the score in {game.unit} in place of the return. *random* "
        "chooses among all actions, illegal ones included; *constant* always plays the first action; "
        "*legal* chooses among the legal ones; *greedy* takes the highest immediate reward, in the mean "
        "over imagined states that look the same to it; *middling* asks the solver every other time.\n"
    )
    yield _line("reasoning", *PLAYERS)
    yield _line("---", *("---:" for _ in PLAYERS))
    with bars(transient=True) as progress:
        task = progress.add_task(f"playing {game.name}", total=len(settings) * len(PLAYERS) * episodes)
        for level, knobs in settings.items():
            cells = []
            for player in PLAYERS.values():
                outcomes = []
                for index in range(episodes):
                    outcomes.append(play_baseline(game, knobs, deal(game, knobs, "test", index), player))
                    progress.advance(task)
                cells.append(_cell(outcomes, knobs.reward == "goal"))
            yield _line(level, *cells)
    yield f"\nMade by `vlm-gym card {game.name} --episodes {episodes}`."


def _cell(outcomes: list[BaselineResult], returns: bool) -> str:
    """Write the mean return, or the mean score, with its standard error, and the share of games won."""
    values = [outcome.total if returns else outcome.score for outcome in outcomes]
    digits = 2 if returns else 1
    mean = sum(values) / len(values)
    error = sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    won = sum(outcome.success for outcome in outcomes) / len(outcomes)
    return f"{mean:.{digits}f} ± {error:.{digits}f}, {won:.0%}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
