"""A window on the screen, each with a life of its own."""

import os
from typing import TYPE_CHECKING

from vlm_gym.render import Frame

if TYPE_CHECKING:
    import pygame


class Window:
    """A pygame window that shows pictures. Closing one leaves all others as they are.

    Raises `RuntimeError` where there is no display.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        try:
            # Only the display: a sound card is none of our business.
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("no display was found")  # where SDL would draw into a void
            self._window = pygame.Window(title, (width, height))
        except pygame.error as error:
            raise RuntimeError(
                f"no window can be opened here ({error}); on a machine without a display use "
                "render_mode='rgb_array' or 'ansi', or `vlm-gym play GAME --terminal`"
            ) from error

    @property
    def surface(self) -> "pygame.Surface":
        """The window's pixels, to draw on before `flip`."""
        return self._window.get_surface()

    def show(self, frame: Frame) -> None:
        """Show a picture at the top left and let the system know that the window is alive."""
        import pygame

        pygame.event.pump()
        self.surface.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        self.flip()

    def flip(self) -> None:
        """Put what was drawn on the screen."""
        self._window.flip()

    def close(self) -> None:
        """Take this window off the screen."""
        self._window.destroy()
