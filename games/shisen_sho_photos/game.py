"""Shisen-Sho with pictures: tiles are equal that show the same thing, each in a picture of its own.

The pictures are the shipped drawings, or those of a folder such as this one of CIFAR-10 (Krizhevsky, 2009):

    from pathlib import Path
    from torchvision.datasets import CIFAR10
    data = CIFAR10(".", download=True)
    for number, (image, label) in enumerate(data):
        (folder := Path("cifar10", data.classes[label])).mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number:05}.png")
"""

from dataclasses import asdict, dataclass

from vlm_gym.dice import Dice
from vlm_gym.game import GameKnobs
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene

# Relative, as mypy cannot follow the mapping of folders to `vlm_gym.games`.
from ..shisen_sho.game import ShisenSho, ShisenShoKnobs, ShisenShoState  # noqa: TID252
from .album import open_album


@dataclass(frozen=True, kw_only=True)
class ShisenShoPhotosKnobs(ShisenShoKnobs):
    """The reasoning axis of Shisen-Sho, and where the pictures are."""

    pictures: str = knob("", "folder of class/picture.png or .jpg; empty: the shipped drawings", ())


@dataclass(frozen=True, kw_only=True)
class ShisenShoPhotosState(ShisenShoState):
    """A position; `pictures` says for each cell which picture of its class is shown."""

    knobs: ShisenShoPhotosKnobs
    pictures: tuple[int, ...]


class ShisenShoPhotos(ShisenSho):
    """Shisen-Sho with pictures; games of the two streams show different pictures of the same classes."""

    name = "shisen_sho_photos"
    title = "Shisen-Sho with photos"
    levels = tuple(ShisenShoPhotosKnobs(**asdict(level)) for level in ShisenSho.levels)
    presets = {name: ShisenShoPhotosKnobs(**asdict(preset)) for name, preset in ShisenSho.presets.items()}
    equal = "that show the same thing"

    def start(self, seed: int, knobs: GameKnobs) -> ShisenShoPhotosState:
        """Deal a board that can be cleared, with different pictures as far as a class has them."""
        assert isinstance(knobs, ShisenShoPhotosKnobs)
        state = super().start(seed, knobs)
        album, dice = open_album(knobs.pictures)[state.split], Dice(seed, -2)
        decks: dict[int, list[int]] = {}
        pictures = []
        for kind in state.board:
            deck = decks.setdefault(kind, [])
            if not deck:
                deck += range(len(album[kind - 1]))
            pictures.append(deck.pop(dice.below(len(deck))))
        return ShisenShoPhotosState(knobs=knobs, seed=seed, board=state.board, pictures=tuple(pictures))

    def kinds(self, knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
        """Choose classes from the album. Raises `ValueError` where it has too few."""
        assert isinstance(knobs, ShisenShoPhotosKnobs)
        classes = len(open_album(knobs.pictures)["train"])
        if classes < knobs.kinds:
            raise ValueError(f"kinds={knobs.kinds}, but pictures={knobs.pictures!r} holds {classes} classes")
        kinds = list(range(1, classes + 1))
        dice.shuffle(kinds)
        return kinds[: knobs.kinds]

    def scene(self, state: ShisenShoState) -> Scene:
        """Show the tiles as pictures."""
        assert isinstance(state, ShisenShoPhotosState)
        faces = open_album(state.knobs.pictures)[state.split]
        cells = zip(state.board, state.pictures, strict=True)
        shown = tuple([faces[kind - 1][picture] if kind else None for kind, picture in cells])
        return Scene(state.knobs.rows, state.knobs.cols, shown)
