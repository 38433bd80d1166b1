"""All chance in a game: a stream of numbers that depends on a seed and a turn, and on nothing else."""

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")

DEAL = -1
"""The turn whose dice deal the position: those of turn 0 belong to the first move."""

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def mix(word: int) -> int:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


class Dice:
    """SplitMix64 started from (seed, turn).

    Our own dozen lines rather than `random.Random` because a recorded turn must replay bit for bit on any
    version of Python, and because making one costs a microsecond.
    """

    __slots__ = ("_word",)

    def __init__(self, seed: int, turn: int = 0) -> None:
        self._word = mix((mix(seed & _MASK) + turn * _GAMMA) & _MASK)

    def bits(self) -> int:
        """64 uniform bits as an integer."""
        # `mix` inlined for speed: a shuffle of a board calls this a hundred times.
        self._word = word = (self._word + _GAMMA) & _MASK
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        return word ^ (word >> 31)

    def below(self, count: int) -> int:
        """Draw a uniform integer in [0, count); the bias of the multiply-shift is under count / 2^64."""
        return (self.bits() * count) >> 64

    def chance(self, probability: float) -> bool:
        """Return True with this probability, in [0, 1]."""
        return self.bits() < probability * (_MASK + 1)

    def choice(self, items: Sequence[T]) -> T:
        """Pick one item uniformly."""
        return items[self.below(len(items))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Shuffle in place (Fisher-Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
