"""The gallery: a contact sheet and a film of each game, and one page that shows them all.

It is made by ``vlm-gym gallery`` and never by hand.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from vlm_gym.episode import Episode
from vlm_gym.gallery.show import contact_sheet
from vlm_gym.registry import find
from vlm_gym.replays.film import write_film
from vlm_gym.replays.replay import Play
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import whole

FILM = {"perception": "level=0,size=224", "reasoning": "1"}
"""The difficulties of the films."""
FILM_TURNS = 24
"""Turns of a film at most."""
SECONDS = 0.6
"""A turn is shown so long."""
QUALITY = 75
"""Of the contact sheets, as JPEG counts it."""


def write_gallery(names: Sequence[str], folder: Path, seed: int) -> Iterator[Path]:
    """Write ``NAME.jpg`` and ``NAME.gif`` for each game, then the page ``README.md``. Yield what is written.

    A contact sheet shows all levels of both axes in half size. A film shows the first turns of the solver.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        sheet = contact_sheet(name, seed)
        small = sheet.resize((sheet.width // 2, sheet.height // 2))
        picture = folder / f"{name}.jpg"
        with whole(picture) as aside:
            small.save(aside, format="JPEG", quality=QUALITY, optimize=True)
        yield picture
        film = folder / f"{name}.gif"
        write_film(_played(name, seed), film, SECONDS)
        yield film
    page = folder / "README.md"
    with whole(page) as aside:
        aside.write_text("\n".join(_page(names)), encoding="utf-8")
    yield page


def _played(name: str, seed: int) -> Play:
    """Play the deal of a seed with the solver, for at most `FILM_TURNS` turns."""
    episode = Episode(name, FILM["perception"], FILM["reasoning"], "free", seed)
    turns = list(islice(rollout([episode], Baseline("solver")), FILM_TURNS))
    return Play(Path(f"{name}.gif"), "solver", episode, turns)


def _page(names: Sequence[str]) -> Iterator[str]:
    yield "# Gallery\n"
    yield (
        "The sheets show perception levels 0 to 4 across and reasoning levels 0 to 4 down. The films show "
        f"the solver at reasoning level {FILM['reasoning']}. Made by `vlm-gym gallery`.\n"
    )
    for name in names:
        game = find(name)
        yield f"## {game.title}\n"
        yield f"{game.rules(game.levels[2])}\n"
        yield f"![{game.title}, played by the solver]({name}.gif)\n"
        yield f"![{game.title} at all levels]({name}.jpg)\n"
