"""A pool of frame buffers that are reused once no reference to them is left.

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
    """A pool of frames of one size. A frame is reused once no reference to it or to a view of it is left."""

    def __init__(self, size: int, kept: int = 4) -> None:
        self.shape = (size, size, 3)
        self._kept = kept
        self._frames: list[Frame] = []

    def take(self) -> Frame:
        """Return a frame to draw on; what is on it is of no meaning."""
        for index in range(len(self._frames)):
            if getrefcount(self._frames[index]) == _UNHELD:
                return self._frames[index]
        frame = np.empty(self.shape, np.uint8)
        self._frames = [*self._frames[-self._kept + 1 :], frame]
        return frame
