"""Memory for pictures that are handed out, used again once nobody holds them.

The system takes some 50 µs to hand over the pages of a fresh 448 × 448 picture, longer than it takes to draw
one. In the usual loop two frames alternate, and no memory is asked for at all.
"""

from sys import getrefcount

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""A picture: RGB, (size, size, 3)."""

_UNHELD = 2
"""References to a frame that only the store holds: its place in the list, and the argument of the count."""


class FrameStore:
    """Gives out frames of one size; one that anybody still holds, or holds a view of, is not given again."""

    def __init__(self, size: int, most: int = 4) -> None:
        self.shape = (size, size, 3)
        self._most = most
        self._frames: list[Frame] = []

    def take(self) -> Frame:
        """Return a frame to draw on; what is on it is of no meaning."""
        for index in range(len(self._frames)):
            if getrefcount(self._frames[index]) == _UNHELD:
                return self._frames[index]
        frame = np.empty(self.shape, np.uint8)
        self._frames = [*self._frames[-self._most + 1 :], frame]
        return frame
