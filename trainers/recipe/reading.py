"""Recipes from TOML files, with changes of a command line, and names that are passed through to TRL."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from vlm_gym.config import build, naming, parse_toml
from vlm_gym.knobs import suggest

from .recipe import Recipe
from .renamed import check_names
from .tables import Table


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file, or from one of the shipped ones by name, and change some of it.

    `changes` are written ``grpo.steps=80``, ``task.0.weight=2`` or ``model.path=Qwen/Qwen3-VL-2B-Instruct``.
    Raises `ValueError` for what is unknown or impossible, `OSError` without a file.
    """
    known = shipped_recipes()
    if not path.exists() and str(path) in known:
        path = known[str(path)]
    if path.is_dir() or not path.exists():
        near = suggest(path.stem, list(known))
        raise FileNotFoundError(
            f"there is no recipe {path}{near}; give the path of a .toml file, or one of {', '.join(known)}"
        )
    with naming(path):
        data = parse_toml(path)
        for change in changes:
            _change(data, change)
        check_names(data)
        return build(Recipe, data)


def shipped_recipes() -> dict[str, Path]:
    """List the recipes that come with the package, by name."""
    folder = Path(str(import_module("vlm_gym.configs").__file__)).parent
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _change(data: Table, change: str) -> None:
    """Apply a change, written as ``key=value``, to the data in place. Raises `ValueError` if impossible."""
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"{change!r} is not possible; changes are written as grpo.steps=80")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    table: object = data
    for word in path:
        if isinstance(table, list):
            table = _entry(table, word, change)
        elif isinstance(table, dict):
            table = table.setdefault(word, {})
        if not isinstance(table, dict | list):
            raise ValueError(f"{change!r} is not possible; {word} holds no further keys")
    if isinstance(table, list):
        raise ValueError(f"{change!r} is not possible; name a key of one of the {len(table)} entries")
    assert isinstance(table, dict)
    stays = isinstance(table.get(last), str) and not isinstance(value, str)  # the game 2048 is a name
    table[last] = text if stays else value


def _entry(entries: Sequence[object], word: str, change: str) -> object:
    if not word.isdigit() or int(word) >= len(entries):
        raise ValueError(f"{change!r} is not possible; entries are numbered from 0 to {len(entries) - 1}")
    return entries[int(word)]


def passed(
    configuration: type,
    given: Mapping[str, object],
    elsewhere: Mapping[str, str],
    fixed: Mapping[str, object],
    table: str,
) -> Table:
    """Check names that are passed through to a configuration class of TRL.

    `elsewhere` maps names that a recipe or a command sets to the key for it, `fixed` maps names that a run
    always sets to their values. Raises `ValueError` for these, and for unknown names, with the nearest known.
    """
    known = [entry.name for entry in fields(configuration)]
    for name in given:
        if name in elsewhere:
            raise ValueError(f"{table}.{name} is not possible; say {elsewhere[name]} instead")
        if name in fixed:
            raise ValueError(f"{table}.{name} is not possible; a run always sets it to {fixed[name]!r}")
        if name not in known:
            wrong = f"unknown key {table + '.' + name!r}{suggest(name, known)}"
            raise ValueError(f"{wrong}; the names are those of {configuration.__name__}")
    return dict(given)
