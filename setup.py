"""The one thing pyproject.toml cannot say: top-level folders that install inside the `vlm_gym` namespace."""

from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("games", "trainers", "configs", "assets")
"""Folders beside `vlm_gym/` whose bare names would collide in site-packages."""


def packages() -> list[str]:
    """Every package to install, by its installed name."""
    found = find_packages(include=["vlm_gym", "vlm_gym.*"])
    for room in ROOMS:
        inner = find_packages(where=room)
        # A game such as `_2048` or a data folder is a package like any other.
        found += [f"vlm_gym.{room}", *(f"vlm_gym.{room}.{name}" for name in inner)]
    return found


def data(room: str) -> list[str]:
    """All that is not Python in a room, as globs relative to it."""
    kinds = {path.suffix for path in Path(room).rglob("*") if path.is_file()} - {".py", ".pyc"}
    return [f"**/*{suffix}" for suffix in sorted(kinds) if suffix]


setup(
    packages=packages(),
    package_dir={f"vlm_gym.{room}": room for room in ROOMS},
    package_data={"vlm_gym": ["py.typed"], **{f"vlm_gym.{room}": data(room) for room in ROOMS}},
)
