"""Finding games: every folder under `games/`, and every entry point of the group `vlm_gym.games`.

A game module offers `GAME`, an instance of `Game`. Nothing is imported before it is asked for.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any

from vlm_gym.game import Game
from vlm_gym.knobs import hint

GROUP = "vlm_gym.games"
"""The entry point group by which other packages offer games: ``name = "package.module"``."""


@cache
def _sources() -> dict[str, str | EntryPoint]:
    """Map the name of every game to where it lives; our own folders win over entry points."""
    games = import_module("vlm_gym.games")
    outside = {point.name: point for point in entry_points(group=GROUP)}
    # A folder cannot begin with a digit and still be importable, so `_2048` holds the game "2048".
    inside = {
        entry.name.removeprefix("_"): f"vlm_gym.games.{entry.name}" for entry in iter_modules(games.__path__)
    }
    return {**outside, **inside}


def names() -> list[str]:
    """List the names of all games there are, ours first."""
    sources = _sources()
    return sorted(sources, key=lambda name: (isinstance(sources[name], EntryPoint), name))


@cache
def find(name: str) -> Game[Any]:
    """Load a game by name. Raises `ValueError` with the choices, or naming the package that is broken."""
    sources = _sources()
    if name not in sources:
        raise ValueError(f"unknown game {name!r}{hint(name, names())}; games: {', '.join(names())}")
    source = sources[name]
    module = source.load() if isinstance(source, EntryPoint) else import_module(source)
    game = getattr(module, "GAME", module)
    if not isinstance(game, Game) or game.name != name:
        raise ValueError(f"the game {name!r} at {source} offers no GAME with that name, but {game!r}")
    return game
