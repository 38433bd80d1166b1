"""A window on the screen that depends on no other window of the process."""

import os
import time
import weakref
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlm_gym.render import Frame

if TYPE_CHECKING:
    import pygame

_LARGE = 30_000
"""Windows are marked by a maximum size above this one, in pixels; no screen is as large."""
_numbers = count(1)

_lost: list["pygame.Window"] = []
"""Handles of windows that were destroyed together with the display. SDL can put another window at the same
address, and a handle that is freed destroys what is there. So they are never freed."""


class _Open(NamedTuple):
    """A window on the screen, as long as the display does not end."""

    handle: "pygame.Window"
    mark: tuple[int, int]
    """A maximum size that no other window of the process has."""

    def alive(self) -> bool:
        """Check that the handle still stands for our own window.

        After the display has ended, a handle is an error, or, where SDL puts a new window at the same
        address, a window of other code. That one does not have our mark.
        """
        import pygame

        try:
            return bool(tuple(self.handle.maximum_size) == self.mark)
        except pygame.error:
            return False

    def end(self) -> None:
        """Take the window off the screen, if it is still there."""
        if self.alive():
            self.handle.destroy()
        else:
            _lost.append(self.handle)


class Window:
    """A pygame window that shows pictures. It opens when it is first drawn on.

    Closing one leaves all others as they are. Where other code ends the display, by ``pygame.quit()`` as
    gymnasium's own environments do, the next picture opens a new window. A copy, or a pickle, is a window of
    the same kind that is not open yet.

    Drawing raises `RuntimeError` where there is no display.
    """

    def __init__(self, title: str, width: int, height: int, fps: float | None = None) -> None:
        """Prepare a window; `show` keeps every picture for 1 / `fps` seconds, if given."""
        self._title = title
        self._width = width
        self._height = height
        self._fps = fps
        self._open: _Open | None = None
        self._end: weakref.finalize[[], Window] | None = None
        self._shown: Frame | None = None
        self._due = 0.0

    def __reduce__(self) -> tuple[type["Window"], tuple[str, int, int, float | None]]:
        """Copy and pickle as a window that is not open."""
        return Window, (self._title, self._width, self._height, self._fps)

    @property
    def surface(self) -> "pygame.Surface":
        """The window's pixels, to draw on before `flip`."""
        return self._handle().get_surface()

    def show(self, frame: Frame) -> None:
        """Show a picture at the top left and process the events of the window.

        Waits until the picture before has been seen for long enough. The same picture again takes no time.
        """
        import pygame

        if self._shown is None or not np.array_equal(frame, self._shown):
            self._wait()
            self._shown = frame.copy()
        surface = self.surface
        pygame.event.pump()
        surface.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        self.flip()

    def flip(self) -> None:
        """Show on the screen what was drawn."""
        self._handle().flip()

    def close(self) -> None:
        """Take this window off the screen."""
        if self._end is not None:
            self._end()
        self._open = None

    def _wait(self) -> None:
        """Sleep until the next picture is due, and compute when the one after it is."""
        if self._fps is None:
            return
        time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = time.monotonic() + 1 / self._fps

    def _handle(self) -> "pygame.Window":
        """Return pygame's window, which is opened if it is not on the screen."""
        if self._open is None or not self._open.alive():
            self.close()
            self._open = self._make()
            self._end = weakref.finalize(self, self._open.end)
        return self._open.handle

    def _make(self) -> _Open:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        try:
            # Only the display is initialised, since the package needs no sound card.
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("no display was found")  # a driver of SDL that shows nothing
            handle = pygame.Window(self._title, (self._width, self._height))
        except pygame.error as error:
            raise RuntimeError(
                f"no window can be opened here ({error}); on a machine without a display use "
                "render_mode='rgb_array' or 'ansi', or `vlm-gym play GAME` with --browser or --terminal"
            ) from error
        side = _LARGE + next(_numbers) % _LARGE
        handle.maximum_size = (side, side)
        return _Open(handle, (side, side))
