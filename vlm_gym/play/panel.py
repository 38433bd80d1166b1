"""What stands beside the picture: how the game goes, what was said last, the line being typed, the keys."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from vlm_gym.play.session import COMMANDS, Session

if TYPE_CHECKING:
    import pygame

WIDTH = 360
HEIGHT = 520
"""Least height that holds everything, in pixels."""
LINE = 44
"""Height of the line being typed."""

PAPER, CARD, EDGE = "#f3f2ef", "#ffffff", "#dcdad5"
INK, SOFT, ACCENT = "#30343b", "#8b8f97", "#2f6fde"
MOODS = {
    "rules": SOFT,
    "event": INK,
    "error": "#c8372d",
    "hint": ACCENT,
    "won": "#2b8a4b",
    "lost": "#b3690b",
}


@cache
def font(name: str, size: int) -> "pygame.font.Font":
    """Load a shipped font: ``sans`` or ``mono``."""
    import pygame

    pygame.font.init()
    return pygame.font.Font(str(files("vlm_gym.assets") / "fonts" / f"{name}.ttf"), size)


def write(
    surface: "pygame.Surface", words: str, place: tuple[int, int], size: int, color: str, wrap: int = 0
) -> int:
    """Write words with their top left corner at `place`, wrapped at `wrap` pixels; returns where they end."""
    drawn = font("sans", size).render(words, True, color, None, wrap)
    surface.blit(drawn, place)
    return place[1] + drawn.get_height()


def draw_panel(surface: "pygame.Surface", session: Session, x: int, top: int, bottom: int) -> None:
    """Draw the panel between these heights, its left edge at `x`."""
    y = write(surface, session.game.title, (x, top - 4), 28, INK, WIDTH)
    y = write(surface, session.levels, (x, y + 2), 13, SOFT, WIDTH)
    y = _numbers(surface, session, x, y + 18)
    keys = list(_keys(session))
    floor = bottom - 30 * -(-len(keys) // 2)
    _note(surface, session, x, y + 18, floor - 18)
    for number, (key, effect) in enumerate(keys):
        _key(surface, key, effect, x + number % 2 * WIDTH // 2, floor + 6 + number // 2 * 30)


def draw_line(surface: "pygame.Surface", session: Session, line: str, box: "pygame.Rect") -> None:
    """Draw the line being typed, or how to begin one."""
    import pygame

    pygame.draw.rect(surface, CARD, box, border_radius=8)
    pygame.draw.rect(surface, ACCENT if line else EDGE, box, 1, border_radius=8)
    inner = box.inflate(-28, 0)
    if line:
        drawn = font("mono", 17).render(line.lstrip(), True, INK)
    else:
        drawn = font("sans", 14).render(_invitation(session), True, SOFT)
    place = drawn.get_rect(midleft=inner.midleft)
    if line:
        place.right = min(place.right, inner.right)  # of a long line, the end is seen
    surface.set_clip(inner)
    surface.blit(drawn, place)
    surface.set_clip(None)
    if line:
        pygame.draw.line(surface, ACCENT, (place.right + 2, box.top + 12), (place.right + 2, box.bottom - 13), 2)
    write(surface, session.game.form, (box.left, box.bottom + 8), 13, SOFT, box.width)


def _invitation(session: Session) -> str:
    """Say how a word is typed, where some begin with a letter that is a command."""
    hidden = any(word.startswith(COMMANDS) for word in session.env.words)
    return ("Space, then an action" if hidden else "Type an action") + ", then Enter"


def _numbers(surface: "pygame.Surface", session: Session, x: int, y: int) -> int:
    for left, number, unit in (
        (x, f"{session.score:g}", session.game.unit),
        (x + WIDTH // 2, str(session.turns_left), "turns left"),
    ):
        below = write(surface, number, (left, y), 34, INK)
        below = write(surface, unit, (left, below - 4), 14, SOFT)
    return below


def _note(surface: "pygame.Surface", session: Session, x: int, top: int, bottom: int) -> None:
    """Write what the session says, as large as fits."""
    import pygame

    color = MOODS[session.note.mood]
    for size in (17, 16, 15, 14, 13, 12, 11):
        drawn = font("sans", size).render(session.note.text, True, color, None, WIDTH - 44)
        if drawn.get_height() <= bottom - top - 32:
            break
    card = pygame.Rect(x, top, WIDTH, bottom - top)
    pygame.draw.rect(surface, CARD, card, border_radius=8)
    pygame.draw.rect(surface, EDGE, card, 1, border_radius=8)
    pygame.draw.rect(surface, color, (x + 12, top + 16, 3, card.height - 32), border_radius=2)
    surface.set_clip(card.inflate(0, -24))
    surface.blit(drawn, (x + 28, top + 16))
    surface.set_clip(None)


def _keys(session: Session) -> Iterator[tuple[str, str]]:
    if {"up", "right", "down", "left"} & set(session.env.words):
        yield "← ↑ → ↓", "move"
    if session.clickable:
        yield "click", "pick a tile"
    yield from (("h", "hint"), ("u", "undo"), ("n", "new deal"), ("Esc", "leave"))


def _key(surface: "pygame.Surface", key: str, effect: str, x: int, y: int) -> None:
    """Draw a key's cap and what it does."""
    import pygame

    drawn = font("sans", 13).render(key, True, INK)
    cap = pygame.Rect(x, y, max(26, drawn.get_width() + 16), 24)
    pygame.draw.rect(surface, CARD, cap, border_radius=5)
    pygame.draw.rect(surface, EDGE, cap, 1, border_radius=5)
    surface.blit(drawn, drawn.get_rect(center=cap.center))
    label = font("sans", 13).render(effect, True, SOFT)
    surface.blit(label, label.get_rect(midleft=(cap.right + 8, cap.centery)))
