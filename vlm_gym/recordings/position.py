"""Positions from JSON: the episode that a line belongs to, and the state in which a reply was given."""

from dataclasses import fields
from functools import lru_cache
from typing import Any, cast, get_args

from vlm_gym import strict
from vlm_gym.episode import Episode, Split
from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.registry import find
from vlm_gym.render import look

LONGEST_NAME = 1000
"""Characters of a policy's name or of the words for a level."""


def to_episode(data: object) -> Episode:
    """Make the address of an episode from its JSON. Raises `ValueError` for a game or level there is not."""
    entries = strict.record(data, "episode", tuple(entry.name for entry in fields(Episode)))
    names = (entries["game"], entries["perception"], entries["reasoning"])
    game, perception, reasoning = (strict.text(name, "episode", most=LONGEST_NAME) for name in names)
    split = strict.text(entries["split"], "split")
    if split not in get_args(Split):
        raise ValueError(f"split is {strict.shown(split)}; it takes {', '.join(get_args(Split))}")
    _check_levels(game, perception, reasoning)
    return Episode(
        game, perception, reasoning, cast(Split, split), strict.whole(entries["index"], "index", 0)
    )


@lru_cache(maxsize=256)
def _check_levels(game: str, perception: str, reasoning: str) -> None:
    """Raise `ValueError` for a game, a level or a knob that there is not."""
    find(game).settle(reasoning)
    look(perception)


def to_state(game: Game, data: object) -> State:
    """Make a state from its JSON, in which tuples have become lists and bytes hex digits.

    Raises `ValueError` for a field of another type, and for a state of which the game cannot make a scene.
    """
    state_type: Any = _kind(game)
    readers = strict.readers(state_type)
    entries = strict.record(data, f"a state of {game.name}", tuple(readers))
    knobs = _knobs(game, entries["knobs"])
    values = dict[str, object]()
    for name, (read, _) in readers.items():
        if name != "knobs":
            values[name] = read(entries[name], name)
    strict.whole(entries["seed"], "seed", 0)
    strict.whole(entries["turn"], "turn", 0)
    state: State = state_type(knobs=knobs, **values)
    try:
        scene = game.scene(state)
        scene.describe()
    except Exception as error:  # the rules may raise any error on an unreachable state
        raise ValueError(f"a state that {game.name} cannot show: {_kind_of(error)}") from error
    if scene.rows * scene.cols != len(scene.cells):
        board = f"{len(scene.cells)} cells on {scene.rows} × {scene.cols}"
        raise ValueError(f"a state that {game.name} cannot show: {board}")
    return state


def _knobs(game: Game, data: object) -> GameKnobs:
    """Make knobs from their JSON; a knob that was not there yet has its default."""
    knobs_type: Any = type(game.levels[0])
    readers = strict.readers(knobs_type)
    optional = list[str]()
    for name, (_, needed) in readers.items():
        if not needed:
            optional.append(name)
    entries = strict.record(data, "knobs", tuple(readers), optional=tuple(optional))
    values = dict[str, object]()
    for name, value in entries.items():
        read, _ = readers[name]
        values[name] = read(value, name)
    knobs: GameKnobs = knobs_type(**values)
    return knobs


def _kind_of(error: Exception) -> str:
    return f"{type(error).__name__}: {strict.shown(str(error))}"


@lru_cache(maxsize=64)
def _kind(game: Game) -> type[State]:
    """Return the class of a game's states."""
    return type(game.start(0, game.levels[0]))
