"""The one thing pyproject.toml cannot say: top-level folders that install inside the `vlm_gym` namespace."""

from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("games", "trainers", "configs", "assets")
"""Folders beside `vlm_gym/` whose bare names would collide in site-packages."""


def packages() -> list[str]:
    """List every package to install, by its installed name."""
    found = find_packages(include=["vlm_gym", "vlm_gym.*"])
    for room in ROOMS:
        found += [f"vlm_gym.{room}", *(f"vlm_gym.{room}.{name}" for name in find_packages(where=room))]
    return found


def data(room: str) -> list[str]:
    """List all that is not Python in a room, relative to it: cards, pictures, fonts, licences."""
    files = (path for path in Path(room).rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"})
    return sorted(path.relative_to(room).as_posix() for path in files)


setup(
    packages=packages(),
    package_dir={f"vlm_gym.{room}": room for room in ROOMS},
    package_data={
        "vlm_gym": ["py.typed"],
        "vlm_gym.play": ["page.*"],
        "vlm_gym.report": ["page.*", "panel.js"],
        **{f"vlm_gym.{room}": data(room) for room in ROOMS},
    },
)
