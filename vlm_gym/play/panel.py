"""The panel beside the picture: score and turns, the last note, the line being typed, the keys."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

import pygame

from vlm_gym.play.controller import Controller
from vlm_gym.play.session import Note, Session

WIDTH = 360
HEIGHT = 520
"""Least height that holds everything, in pixels."""
LINE_HEIGHT = 44
FORM = 44
"""Heights of the line being typed and of the words below it."""

PAPER = "#f3f2ef"
CARD = "#ffffff"
EDGE = "#dcdad5"
INK = "#30343b"
TEXT = "#50555e"
SOFT = "#8b8f97"
ACCENT = "#2f6fde"
TINTS = {"illegal": "#c8372d", "hint": ACCENT, "won": "#2b8a4b", "lost": "#b3690b"}
"""Colours of headings, where they are not soft."""

_TOGETHER = re.compile(r"(?:\(\d+,\d+\) )*\S{1,28}")
"""What stays on one line: the cells of an action, or a word that is not very long."""


def font(name: str, size: int) -> pygame.font.Font:
    """Load a shipped font: ``sans`` or ``mono``."""
    face = _load(name, size)
    try:
        face.get_height()
    except pygame.error:  # other code has called pygame.quit(), which ends all fonts
        _load.cache_clear()
        face = _load(name, size)
    return face


@cache
def _load(name: str, size: int) -> pygame.font.Font:
    pygame.font.init()
    return pygame.font.Font(str(files("vlm_gym.assets") / "fonts" / f"{name}.ttf"), size)


def set_text(text: str, size: int, color: str, wrap: int) -> pygame.Surface:
    """Set words in lines of at most `wrap` pixels."""
    face = font("sans", size)
    face.set_linesize(round(1.4 * size))
    lines = []
    for paragraph in text.splitlines():
        first, *others = _TOGETHER.findall(paragraph) or [""]
        lines.append(first)
        for word in others:
            if face.size(f"{lines[-1]} {word}")[0] <= wrap:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    return face.render("\n".join(lines), True, color)


def write_text(
    surface: pygame.Surface, text: str, corner: tuple[int, int], size: int, color: str, wrap: int = WIDTH
) -> int:
    """Write words with their top left corner at `corner`; returns where they end."""
    drawn = set_text(text, size, color, wrap)
    surface.blit(drawn, corner)
    return corner[1] + drawn.get_height()


def draw_panel(surface: pygame.Surface, controller: Controller, x: int, top: int, bottom: int) -> None:
    """Draw the panel between these heights, its left edge at `x`."""
    session = controller.session
    y = write_text(surface, session.game.title, (x, top - 4), 28, INK)
    y = write_text(surface, session.deal, (x, y + 2), 13, SOFT)
    y = _numbers(surface, session, x, y + 18)
    keys = list(_keys(controller))
    floor = bottom - 30 * len(keys) + 6
    _note(surface, session.note, pygame.Rect(x, y + 18, WIDTH, floor - 20 - y - 18))
    for number, row in enumerate(keys):
        for column, (key, effect) in enumerate(row):
            _key(surface, key, effect, x + column * WIDTH // 2, floor + number * 30)


def draw_line(surface: pygame.Surface, controller: Controller, line: str, box: pygame.Rect) -> None:
    """Draw the line being typed, or how to begin one."""
    pygame.draw.rect(surface, CARD, box, border_radius=8)
    pygame.draw.rect(surface, ACCENT if line else EDGE, box, 1, border_radius=8)
    inner = box.inflate(-28, 0)
    if line:
        _typed(surface, line.lstrip(), inner)
    else:
        invitation = font("sans", 14).render(controller.invitation, True, SOFT)
        surface.blit(invitation, invitation.get_rect(midleft=inner.midleft))
    form = controller.session.game.form
    write_text(surface, f"Action: {form}", (box.left, box.bottom + 8), 13, SOFT, box.width)


def _typed(surface: pygame.Surface, text: str, box: pygame.Rect) -> None:
    """Write what is being typed and a caret; of a line too long for its box, the end is seen."""
    drawn = font("mono", 17).render(text, True, INK)
    box_of_text = drawn.get_rect(midleft=box.midleft)
    box_of_text.right = min(box_of_text.right, box.right - 4)
    surface.set_clip(box)
    surface.blit(drawn, box_of_text)
    surface.fill(ACCENT, (box_of_text.right + 2, box.top + 12, 2, box.height - 24))
    surface.set_clip(None)


def _numbers(surface: pygame.Surface, session: Session, x: int, y: int) -> int:
    for column, number, unit in (
        (x, f"{session.run.state.score:g}", session.game.unit),
        (x + WIDTH // 2, str(session.turns_left), "turns left"),
    ):
        below = write_text(surface, number, (column, y), 34, INK)
        below = write_text(surface, unit, (column, below - 4), 14, SOFT)
    return below


def _note(surface: pygame.Surface, note: Note, card: pygame.Rect) -> None:
    """Write the session's note, as large as fits."""
    pygame.draw.rect(surface, CARD, card, border_radius=8)
    pygame.draw.rect(surface, EDGE, card, 1, border_radius=8)
    inner = card.inflate(-36, -32)
    top = write_text(surface, note.heading, inner.topleft, 13, TINTS.get(note.about, SOFT)) + 6
    for size in (16, 15, 14, 13, 12, 11, 10):
        text = set_text(note.text, size, TEXT, inner.width)
        if text.get_height() <= inner.bottom - top:
            break
    surface.blit(text, (inner.left, top), (0, 0, inner.width, inner.bottom - top))


def _keys(controller: Controller) -> Iterator[tuple[tuple[str, str], ...]]:
    """List the keys, row by row: those that play, then commands."""
    commands = controller.session.commands
    yield from _rows(list(controller.inputs()))
    yield from _rows([*((key, command.effect) for key, command in commands.items()), ("Esc", "leave")])


def _rows(keys: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Arrange keys in rows of two."""
    for first in range(0, len(keys), 2):
        yield tuple(keys[first : first + 2])


def _key(surface: pygame.Surface, key: str, effect: str, x: int, y: int) -> None:
    """Draw a key's cap and what it does."""
    drawn = font("sans", 13).render(key, True, INK)
    cap = pygame.Rect(x, y, max(26, drawn.get_width() + 16), 24)
    pygame.draw.rect(surface, CARD, cap, border_radius=5)
    pygame.draw.rect(surface, EDGE, cap, 1, border_radius=5)
    surface.blit(drawn, drawn.get_rect(center=cap.center))
    label = font("sans", 13).render(effect, True, SOFT)
    surface.blit(label, label.get_rect(midleft=(cap.right + 8, cap.centery)))
