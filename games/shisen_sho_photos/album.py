"""Pictures of things, in a folder as `class/picture.png` or `.jpg`: read once, and some kept for testing."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from vlm_gym.scene import Symbol

Album = dict[Literal["train", "test"], list[list[Symbol]]]
"""For each split, and each class by name: its pictures, by name."""

MOST = 255
"""Classes at most, as a byte of the board says which."""


@cache
def open_album(folder: str) -> Album:
    """Open a folder of pictures, or the shipped drawings if `folder` is empty.

    Of each class, the first third of the pictures by name, but at least one, is kept for testing. The shipped
    ones are named for their artists, so it is the same artists throughout. Raises `ValueError` that names the
    folder or file and what is wrong with it.
    """
    root = Path(folder).expanduser().absolute() if folder else Path(str(files("vlm_gym.assets"))) / "pictures"
    if not root.is_dir():
        raise ValueError(
            f"pictures={folder!r} is no folder; it takes one that holds class/picture.png or .jpg"
        )
    classes = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] not in "._")
    if not 2 <= len(classes) <= MOST:
        raise ValueError(f"{root} holds {len(classes)} classes of pictures; it takes 2 to {MOST}")
    album: Album = {"train": [], "test": []}
    for path in classes:
        name, symbols = path.name.replace("_", " ").lower(), []
        for file in sorted(path.iterdir()):
            if file.suffix.lower() in (".png", ".jpg", ".jpeg"):
                _verify(file)
                variant = file if folder else file.relative_to(root)
                symbols.append(Symbol("picture", name, variant=str(variant)))
        if len(symbols) < 2:
            raise ValueError(f"{path} holds {len(symbols)} pictures; a class takes 2 or more, .png or .jpg")
        kept = max(1, len(symbols) // 3)
        album["test"].append(symbols[:kept])
        album["train"].append(symbols[kept:])
    return album


def _verify(file: Path) -> None:
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{file} cannot be read as a picture: {error}") from error
