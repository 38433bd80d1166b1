"""The address of an episode: game, difficulty and deal. The split of deals into training and test."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import Literal, get_args

from vlm_gym.game import TEST, Game, GameKnobs, State
from vlm_gym.registry import find

Split = Literal["train", "test", "free"]
"""`free` is no stream at all: the index is the seed itself, as in ``env.reset(seed=index)``."""

_SHARE = 8
"""One position in eight is held out for the test stream."""
_PATIENCE = 20_000
"""Deals tried for one of the wanted split before a level is called too small to be split."""


@dataclass(frozen=True, slots=True)
class Episode:
    """The address of an episode.

    Difficulties are spelled as text (`knobs.spell`), so it is hashable and fits in JSON. The deal depends on
    everything but `perception`: the same index at any perception level is the same game.
    """

    game: str
    perception: str = "0"
    reasoning: str = "2"
    split: Split = "train"
    index: int = 0

    @property
    def seed(self) -> int:
        """The seed of the deal, in [0, 2^63)."""
        game = find(self.game)
        return deal(game, game.settle(self.reasoning), self.split, self.index)


@lru_cache(maxsize=4096)
def deal(game: Game, knobs: GameKnobs, split: Split, index: int) -> int:
    """Find the seed of the index-th deal of a split.

    Seeds are hashed, so neighbours share nothing, and a deal counts only if its *position* belongs to the
    split: a level with few positions is split by position, and no test game starts where a training game
    does. Raises `ValueError` if the level has no such position.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}; splits: {', '.join(get_args(Split))}")
    if split == "free":
        return index
    for attempt in count():
        digest = blake2b(f"{game.name}/{split}/{index}/{attempt}".encode(), digest_size=8).digest()
        # Seeds of the test split are those from `TEST` up, so the seed alone gives the split.
        seed = int.from_bytes(digest, "big") % TEST + (TEST if split == "test" else 0)
        if held_out(game, game.start(seed, knobs)) == (split == "test"):
            return seed
        if attempt == _PATIENCE:
            raise ValueError(f"{game.name} has no {split} position among {attempt} deals of {knobs}")
    raise AssertionError


def held_out(game: Game, state: State) -> bool:
    """Check if a position belongs to the test stream, by a hash of its `Game.key`."""
    text = f"{game.name}\n{game.key(state)}"
    return blake2b(text.encode(), digest_size=8).digest()[0] % _SHARE == 0
