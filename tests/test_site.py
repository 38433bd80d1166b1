"""The documents as a site: a page for each game from the code, and a build without a warning or a network."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vlm_gym.gallery.card import baselines_of, head, knob_table
from vlm_gym.gallery.document import example_picture, game_page, games_page
from vlm_gym.prompt import solution
from vlm_gym.registry import find, names

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 600
"""For a build on a machine with much else to do; it takes 8 seconds of one core."""


@pytest.mark.parametrize("name", names())
def test_the_card_of_a_game_has_the_rules_and_knobs_of_the_code(name: str) -> None:
    game = find(name)
    card = Path(str(import_module(type(game).__module__).__file__)).with_name("README.md")
    lines = [*head(game, "card.png"), *knob_table(game), "", baselines_of(game)]
    assert card.read_text() == "\n".join(lines) + "\n", f"make it anew: vlm-gym card {name} --episodes 30"


@pytest.mark.parametrize("name", names())
def test_the_page_of_a_game_shows_what_a_model_reads_and_should_reply(name: str) -> None:
    game = find(name)
    page = game_page(name, "../gallery", f"{name}.png")
    assert page.startswith(f"# {game.title}\n")
    assert re.findall(r"\]\((.*?)\)", page) == [
        f"../gallery/{name}.jpg",
        f"../gallery/{name}.gif",
        f"{name}.png",
    ]
    reply = solution(game, game.start(7, game.settle("1")))
    assert reply is not None
    assert f"```text\n{reply}\n```" in page
    assert "| reasoning | random |" in page
    assert f"]({name}.md)" in games_page()


def test_the_picture_of_an_example_is_small() -> None:
    picture = example_picture("swap")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 20_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as ``make docs`` does."""
    pytest.importorskip("material", reason="the group `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_a_page_for_each_game_document_and_package(site: Path) -> None:
    for name in names():
        assert (site / f"games/{name}.html").is_file()
    for document in (ROOT / "docs").glob("*.md"):
        assert (site / f"{document.stem}.html").is_file()
    for package in ("vlm_gym", "vlm_gym.envs", "vlm_gym.trainers", "vlm_gym.trainers.recipe"):
        assert f"{package}.html" in (site / "api/index.html").read_text()
    assert 'id="vlm_gym.game.Game.step"' in (site / "api/vlm_gym.html").read_text()
    assert 'id="vlm_gym.trainers.advantages.by_group"' in (site / "api/vlm_gym.trainers.html").read_text()


@pytest.mark.slow
def test_pages_load_nothing_from_other_servers(site: Path) -> None:
    loaded = re.compile(
        r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
    )
    found = {path: loaded.findall(path.read_text()) for path in site.rglob("*.html")}
    assert len(found) > 50
    assert [name for name, links in found.items() if links] == []


@pytest.mark.slow
def test_links_between_pages_lead_somewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for link in re.findall(r"<a\b[^>]*\bhref=\"([^\"#:]+)[\"#]", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name} links to {link}"
