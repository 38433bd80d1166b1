"""Shisen-Sho with pictures: tiles are equal that show the same thing, each in a picture of its own.

The pictures are the shipped drawings, or those of a folder; `vlm_gym.album` tells how to make one.
"""

from dataclasses import asdict, dataclass

from vlm_gym.album import open_album
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene

# Relative, as mypy cannot follow the mapping of folders to `vlm_gym.games`.
from ..shisen_sho.game import ShisenSho  # noqa: TID252
from ..shisen_sho.knobs import WHOLE, ShisenShoKnobs  # noqa: TID252


@dataclass(frozen=True, kw_only=True)
class PhotosKnobs(ShisenShoKnobs):
    """The reasoning axis of Shisen-Sho, and where the pictures are."""

    pictures: str = knob(
        "",
        "folder of class/picture.png or .jpg, with as many classes as kinds: levels 3 and 4 need 16 and 36; "
        "empty: the shipped drawings",
        (),
    )


@dataclass(frozen=True, kw_only=True)
class PhotosBoard(Board[ShisenShoKnobs]):
    """A position; `pictures` says for each cell which picture of its class is shown."""

    knobs: PhotosKnobs
    pictures: tuple[int, ...]


class ShisenShoPhotos(ShisenSho):
    """Shisen-Sho with pictures; games for training and for testing show different ones of the same things."""

    name = "shisen_sho_photos"
    title = "Shisen-Sho with photos"
    levels = tuple(PhotosKnobs(**asdict(level)) for level in ShisenSho.levels)
    presets = {name: PhotosKnobs(**asdict(preset)) for name, preset in ShisenSho.presets.items()}
    equal = "that show the same thing"

    def start(self, seed: int, knobs: ShisenShoKnobs) -> PhotosBoard:
        """Deal a board that can be cleared, in different pictures as far as a class has them."""
        assert isinstance(knobs, PhotosKnobs)
        state = super().start(seed, knobs)
        album = open_album(knobs.pictures)[state.split]
        dice = Dice(seed, DEAL - 1)
        decks = dict[int, list[int]]()
        pictures = list[int]()
        for kind in state.cells:
            if not kind:  # a hole
                pictures.append(0)
                continue
            deck = decks[kind] = decks.get(kind) or [*range(len(album[kind - 1]))]
            pictures.append(deck.pop(dice.below(len(deck))))
        return PhotosBoard(knobs=knobs, seed=seed, cells=state.cells, pictures=tuple(pictures))

    def kinds(self, knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
        """Choose classes of an album. Raises `ValueError` if it has too few, or more than a byte can tell."""
        assert isinstance(knobs, PhotosKnobs)
        kinds = list(range(1, 1 + len(open_album(knobs.pictures)["train"])))
        if not knobs.kinds <= len(kinds) <= 255:
            raise ValueError(
                f"kinds={knobs.kinds} is not possible: {knobs.pictures!r} has {len(kinds)} classes; "
                "kinds are as many at most, and classes at most 255"
            )
        if knobs.deck < WHOLE:
            del kinds[knobs.deck :]
        dice.shuffle(kinds)
        return kinds[: knobs.kinds]

    def scene(self, state: Board[ShisenShoKnobs]) -> Scene:
        assert isinstance(state, PhotosBoard)
        album = open_album(state.knobs.pictures)[state.split]
        rule = state.knobs
        tiles = zip(state.cells, state.pictures, strict=True)
        shown = tuple([album[kind - 1][picture] if kind else None for kind, picture in tiles])
        return Scene(rule.rows, rule.cols, shown)
