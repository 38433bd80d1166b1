"""Pictures of things, in a folder as `class/picture.png` or `.jpg`: read once, and some kept for testing.

This makes such a folder of CIFAR-10 (Krizhevsky, 2009):

    from pathlib import Path
    from torchvision.datasets import CIFAR10
    data = CIFAR10(".", download=True)
    for number, (image, label) in enumerate(data):
        (folder := Path("cifar10", data.classes[label])).mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number:05}.png")
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

from vlm_gym.scene import Symbol


@cache
def open_album(folder: str) -> dict[str, list[list[Symbol]]]:
    """Open a folder of pictures, or the shipped drawings if `folder` is empty: by split, then by class.

    Of each class, the first third of the pictures by name, but at least one, is kept for testing. The shipped
    ones are named for their artists, so it is the same artists throughout. Raises `ValueError` that names the
    folder or file and what is wrong with it.
    """
    from PIL import Image

    root = Path(folder).expanduser().absolute() if folder else Path(str(files("vlm_gym.assets"))) / "pictures"
    if not root.is_dir():
        raise ValueError(f"pictures={folder!r} is no folder; it takes one with class/picture.png or .jpg")
    album: dict[str, list[list[Symbol]]] = {"train": [], "test": []}
    for path in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] not in "._"):
        pictures, kinds = [], {".png", ".jpg", ".jpeg"}
        for file in sorted(file for file in path.iterdir() if file.suffix.lower() in kinds):
            try:
                with Image.open(file) as image:
                    image.verify()
            except (OSError, SyntaxError) as error:
                raise ValueError(f"{file} cannot be read as a picture: {error}") from error
            variant = str(file if folder else file.relative_to(root))
            pictures.append(Symbol("picture", path.name.replace("_", " ").lower(), variant=variant))
        if len(pictures) < 2:
            raise ValueError(f"{path} holds {len(pictures)} pictures; a class takes 2 or more, .png or .jpg")
        kept = max(1, len(pictures) // 3)
        album["test"].append(pictures[:kept])
        album["train"].append(pictures[kept:])
    return album
