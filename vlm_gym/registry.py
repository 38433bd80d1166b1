"""Finding games: every folder under `games/`, and every entry point of the group `vlm_gym.games`.

A game module offers `GAME`, an instance of `Game`. Nothing is imported before it is asked for, so a package
that is broken spoils its own game alone.
"""

import logging
import re
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any

from vlm_gym.game import Game
from vlm_gym.knobs import suggest

log = logging.getLogger(__name__)

GROUP = "vlm_gym.games"
"""The entry point group by which other packages offer games: ``name = "package.module"``."""

_NAME = re.compile(r"(?!all$)\w[\w.-]*")
"""What gymnasium takes as ``vlm_gym/NAME-v0``, and suites as a game; there, `all` stands for every game."""


@cache
def _sources() -> dict[str, str | EntryPoint]:
    """Map the name of every game to its module or entry point; our own folders win over entry points."""
    games = import_module("vlm_gym.games")
    outside = {}
    for point in entry_points(group=GROUP):
        if _NAME.fullmatch(point.name):
            outside[point.name] = point
        else:
            log.warning(
                "%s offers a game as %r, which is no possible name; it takes letters, digits, _, . and -",
                _package(point),
                point.name,
            )
    # A folder cannot begin with a digit and still be importable, so `_2048` holds the game "2048".
    inside = {}
    for module in iter_modules(games.__path__):
        inside[module.name.removeprefix("_")] = f"vlm_gym.games.{module.name}"
    return {**outside, **inside}


def names() -> list[str]:
    """List the names of all games there are, ours first."""
    sources = _sources()
    return sorted(sources, key=lambda name: (isinstance(sources[name], EntryPoint), name))


@cache
def find(name: str) -> Game:
    """Load a game by name. Raises `ValueError` with the choices, or naming the package that is broken."""
    sources = _sources()
    if name not in sources:
        raise ValueError(f"unknown game {name!r}{suggest(name, names())}; games: {', '.join(names())}")
    source = sources[name]
    if isinstance(source, EntryPoint):
        module = _load(source)
        origin = f"{source.value} of {_package(source)}"
    else:
        module = import_module(source)
        origin = source
    game = getattr(module, "GAME", module)
    if not isinstance(game, Game) or game.name != name:
        raise ValueError(f"the game {name!r} at {origin} offers no GAME with that name, but {game!r}")
    return game


def _load(point: EntryPoint) -> Any:
    """Import what another package offers. Raises `ValueError` that names the package, and why it fails."""
    try:
        return point.load()
    except Exception as error:  # code of other packages can raise any error
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"the game {point.name!r} of {_package(point)} cannot be loaded from {point.value!r}: {reason}; "
            f"fix or uninstall that package"
        ) from error


def _package(point: EntryPoint) -> str:
    """Name the package that an entry point belongs to."""
    return point.dist.name if point.dist is not None else "a package"
