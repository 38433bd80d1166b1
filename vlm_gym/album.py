"""Pictures of things, in a folder as `class/picture.png` or `.jpg`: read once, and some kept for testing.

This makes such a folder of CIFAR-10 (Krizhevsky, 2009):

    from pathlib import Path
    from torchvision.datasets import CIFAR10
    data = CIFAR10(".", download=True)
    for number, (image, label) in enumerate(data):
        (folder := Path("cifar10", data.classes[label])).mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number:05}.png")
"""

import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from vlm_gym.scene import Symbol

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = (".png", ".jpg", ".jpeg")
_SIDE = 512
"""Pixels to which larger pictures are reduced: no cell of the largest board shows more."""
_RESERVED = "|<>"
"""Characters that separate cells and mark sections where a board is described in words."""


@cache
def open_album(folder: str) -> dict[str, list[list[Symbol]]]:
    """Open a folder of pictures, or the shipped drawings if `folder` is empty: by split, then by class.

    Every picture is read, so that a broken one is found here. Hidden files are skipped. Of each class, the
    first third of the pictures by name, but at least one, is kept for testing. The shipped ones are named for
    their artists, so it is the same artists throughout. Raises `ValueError` that names the folder or file and
    what is wrong with it: a broken picture, or a class whose name cannot stand in a description of a board.
    """
    root = _root(folder)
    album: dict[str, list[list[Symbol]]] = {"train": [], "test": []}
    classes: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        if not path.is_dir() or path.name[0] in "._":
            continue
        words = _words(path)
        # Different code points can look alike, and so can the names of classes.
        other = classes.setdefault(unicodedata.normalize("NFKC", words).casefold(), path)
        if other is not path:
            raise ValueError(f"{path} and {other.name!r} beside it are two classes that read the same")
        pictures = []
        for file in sorted(path.iterdir()):
            if file.suffix.lower() not in _SUFFIXES or file.name.startswith("."):
                continue
            if folder:  # the shipped pictures are not checked again
                open_picture(file)
            variant = str(file if folder else file.relative_to(root))
            pictures.append(Symbol("picture", words, variant=variant))
        if len(pictures) < 2:
            raise ValueError(f"{path} holds {len(pictures)} pictures; a class takes 2 or more, .png or .jpg")
        kept = max(1, len(pictures) // 3)
        album["test"].append(pictures[:kept])
        album["train"].append(pictures[kept:])
    return album


def open_picture(path: Path) -> "Image":
    """Read a picture as people see it: upright, square, RGBA with 8 bits a channel.

    A picture that is not square is padded with transparency, and one of more than 512 pixels across is
    reduced. Raises `ValueError` that names the file if it cannot be read to its end.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.draft(image.mode, (_SIDE, _SIDE))  # a large JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(image)
            picture = _in_8_bits(upright).convert("RGBA")
    except Exception as error:  # on broken bytes, decoders raise errors of nearly every kind
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    if max(picture.size) > _SIDE:
        picture.thumbnail((_SIDE, _SIDE))
    side = max(picture.size)
    if picture.size == (side, side):
        return picture
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def _root(folder: str) -> Path:
    """Locate the folder of an album. Raises `ValueError` where there is none."""
    if not folder:
        return Path(str(files("vlm_gym.assets"))) / "pictures"
    try:
        root = Path(folder).expanduser().absolute()
    except RuntimeError as error:  # the home folder of an unknown user
        raise ValueError(f"pictures={folder!r} is no folder: {error}") from error
    if not root.is_dir():
        raise ValueError(f"pictures={folder!r} is no folder; it takes one with class/picture.png or .jpg")
    return root


def _words(path: Path) -> str:
    """Spell the name of a class as a description of a board does. Raises `ValueError` where none can."""
    name = unicodedata.normalize("NFC", path.name)
    for character in name:
        if character in _RESERVED or not character.isprintable():
            raise ValueError(
                f"the class {path.name!r} in {path.parent} has {character!r} in its name, which breaks the "
                f"description of a board; rename the folder"
            )
    words = " ".join(name.replace("_", " ").lower().split())
    if unicodedata.normalize("NFKC", words) in ("", "-"):
        raise ValueError(
            f"the class {path.name!r} in {path.parent} reads as an empty cell; rename the folder"
        )
    return words


def _in_8_bits(image: "Image") -> "Image":
    """Reduce grey levels of 16 bits, which Pillow would cut off at 255, to 8 bits."""
    if not image.mode.startswith("I"):
        return image
    import numpy as np
    from PIL import Image

    levels = np.asarray(image).astype(np.int64).clip(0, 65535)  # (height, width)
    return Image.fromarray((levels // 257).astype(np.uint8))
