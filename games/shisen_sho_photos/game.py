"""Shisen-Sho with pictures: tiles are equal that show the same thing, each in a picture of its own.

The pictures are the shipped drawings, or those of a folder; `vlm_gym.album` explains how to make one.
"""

from dataclasses import asdict, dataclass

from vlm_gym.album import open_album
from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Board
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

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
    test_pictures: str = knob(
        "test",
        "the pool of a test deal's pictures: 'test', never shown in training, or 'train', as in the paper",
        ("test", "train"),
    )


@dataclass(frozen=True, kw_only=True)
class PhotosBoard(Board[ShisenShoKnobs]):
    """A position; `pictures` says for each cell which picture of its class is shown."""

    knobs: PhotosKnobs
    pictures: tuple[int, ...]


class ShisenShoPhotos(ShisenSho):
    """Shisen-Sho with pictures.

    Deals of the two splits show different pictures of the same things, unless `test_pictures` is ``train``:
    then a test deal shows known pictures on a new board.
    """

    name = "shisen_sho_photos"
    title = "Shisen-Sho with photos"
    levels = tuple(PhotosKnobs(**asdict(level)) for level in ShisenSho.levels)
    presets = {name: PhotosKnobs(**asdict(preset)) for name, preset in ShisenSho.presets.items()}
    equal = "that show the same thing"

    def start(self, seed: int, knobs: ShisenShoKnobs) -> PhotosBoard:
        """Deal a board that can be cleared, in different pictures as far as a class has them."""
        assert isinstance(knobs, PhotosKnobs)
        state = super().start(seed, knobs)
        album = _pool(knobs, state.split)
        dice = Dice(seed, DEAL - 1)  # other dice than those of the deal, which stays that of Shisen-Sho
        decks = dict[int, list[int]]()
        pictures = list[int]()
        for kind in state.cells:
            if not kind:  # a hole
                pictures.append(0)
                continue
            # Each picture of a class is shown once before any is shown again.
            deck = decks.get(kind) or [*range(len(album[kind - 1]))]
            pictures.append(deck.pop(dice.below(len(deck))))
            decks[kind] = deck
        return PhotosBoard(knobs=knobs, seed=seed, cells=state.cells, pictures=tuple(pictures))

    def kinds(self, knobs: ShisenShoKnobs, dice: Dice) -> list[int]:
        """Choose classes of an album. Raises `ValueError` if it has too few, or more than fit in a byte."""
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
        knobs = state.knobs
        album = _pool(knobs, state.split)
        shown: list[Symbol | None] = []
        for kind, picture in zip(state.cells, state.pictures, strict=True):
            shown.append(album[kind - 1][picture] if kind else None)
        return Scene(knobs.rows, knobs.cols, tuple(shown))


def _pool(knobs: PhotosKnobs, split: str) -> list[list[Symbol]]:
    """Return the pictures that deals of a split show, by class."""
    albums = open_album(knobs.pictures)
    return albums[knobs.test_pictures if split == "test" else "train"]
