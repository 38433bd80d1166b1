"""Play in a window: the very picture that a model sees, and outside it a panel and the line being typed."""

from time import monotonic

import pygame

from vlm_gym.envs.display import Window
from vlm_gym.play.controller import Controller
from vlm_gym.play.panel import ACCENT, FORM, HEIGHT, LINE_HEIGHT, PAPER, WIDTH, draw_line, draw_panel
from vlm_gym.play.session import Session

MARGIN = 24
"""Around everything, in pixels; so the picture's top left corner is at (MARGIN, MARGIN)."""
ENLARGED_TO = 448
"""Pixels up to which a small picture is enlarged, by a whole factor, so that it stays exact."""
GAP = 12
"""Between the picture and the line being typed."""
PICKED = "#ff9f0a"
HINTED = ACCENT
HALO = "#ffffff"
"""Colours of the frames around cells."""


def play_in_window(session: Session) -> None:
    """Play until Esc, or until the window is closed. Raises `RuntimeError` where there is no display."""
    game_window = GameWindow(session)
    try:
        game_window.run()
    finally:
        game_window.window.close()


class GameWindow:
    """A session's window. What is drawn over the picture is on the window alone, never in the observation."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.controller = Controller(session)
        self.side = session.size * max(1, ENLARGED_TO // session.size)
        width = MARGIN + self.side + MARGIN + WIDTH + MARGIN
        height = MARGIN + max(self.side + GAP + LINE_HEIGHT + FORM, HEIGHT) + MARGIN
        self.line = ""
        self.window = Window("vlm-gym", width, height)

    @property
    def zoom(self) -> int:
        """How often every pixel of the picture is repeated, across and down."""
        return self.side // self.session.run.look.size

    def run(self) -> None:
        """Answer the person's keys and clicks until they leave."""
        self.draw()
        while True:
            # A short wait, for only between two of them does Python notice a Ctrl-C in the terminal.
            event = pygame.event.wait(20 if self.session.game.tick else 100)
            if self.controller.pass_time(monotonic()):
                self.draw()
            if event.type in (pygame.QUIT, pygame.WINDOWCLOSE):
                return
            if event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE:
                return
            if event.type not in (pygame.NOEVENT, pygame.MOUSEMOTION):
                self.take(event)
                self.draw()

    def take(self, event: pygame.Event) -> None:
        """Do what a key or a click asks for."""
        if event.type == pygame.TEXTINPUT:
            self._type(event.text)
        elif event.type == pygame.KEYDOWN:
            self._press(pygame.key.name(event.key))
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            x, y = event.pos
            self.controller.click((y - MARGIN) // self.zoom, (x - MARGIN) // self.zoom)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_RIGHT:
            self.session.turn()

    def draw(self) -> None:
        """Draw everything anew: some milliseconds, and only after something happened."""
        surface = self.window.surface
        session = self.session
        surface.fill(PAPER)
        picture = pygame.surfarray.make_surface(session.frame.swapaxes(0, 1))
        surface.blit(pygame.transform.scale_by(picture, self.zoom), (MARGIN, MARGIN))
        for mark in self.controller.marks():
            side = mark.side * self.zoom
            frame = pygame.Rect(MARGIN + mark.x * self.zoom, MARGIN + mark.y * self.zoom, side, side)
            pygame.draw.rect(surface, HALO, frame.inflate(2, 2), 5, border_radius=6)
            pygame.draw.rect(surface, PICKED if mark.picked else HINTED, frame, 3, border_radius=5)
        box = pygame.Rect(MARGIN, MARGIN + self.side + GAP, self.side, LINE_HEIGHT)
        draw_line(surface, self.controller, self.line, box)
        draw_panel(
            surface, self.controller, MARGIN + self.side + MARGIN, MARGIN, surface.get_height() - MARGIN
        )
        self.window.flip()

    def _type(self, text: str) -> None:
        if self.line or not self.controller.command(text):
            self.line += text

    def _press(self, key: str) -> None:
        if key == "backspace":
            self.line = self.line[:-1]
        elif key in ("return", "enter"):
            self.controller.enter(self.line)
            self.line = ""
        else:
            self.controller.press(key)
