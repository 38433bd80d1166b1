"""The gallery: sheets and films of every game, made by command and shown in the documents."""

import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.registry import names

SHOWN = Path(__file__).parents[1] / "docs/gallery"


def test_a_gallery_is_made_by_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["gallery", "lights", "snake", "-o", str(tmp_path / "shown")])
    assert done.exit_code == 0, done.output
    made = sorted(path.name for path in (tmp_path / "shown").iterdir())
    assert made == ["README.md", "lights.gif", "lights.jpg", "snake.gif", "snake.jpg"]
    page = (tmp_path / "shown/README.md").read_text()
    assert set(re.findall(r"\]\((.*?)\)", page)) == set(made) - {"README.md"}
    with Image.open(tmp_path / "shown/lights.gif") as film:
        assert film.n_frames >= 4  # three presses and the end
    with Image.open(tmp_path / "shown/lights.jpg") as sheet:
        assert sheet.width > 500


def test_an_unknown_game_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["gallery", "lights", "snak", "-o", str(tmp_path / "shown")])
    assert isinstance(done.exception, ValueError)
    assert "did you mean 'snake'" in str(done.exception)
    assert not (tmp_path / "shown").exists()


@pytest.mark.parametrize("name", names())
def test_every_game_is_shown_in_the_documents_by_small_files(name: str) -> None:
    page = (SHOWN / "README.md").read_text()
    for path in (SHOWN / f"{name}.gif", SHOWN / f"{name}.jpg"):
        assert f"({path.name})" in page
        assert 5_000 < path.stat().st_size < 150_000
    with Image.open(SHOWN / f"{name}.gif") as film:
        assert film.n_frames > 2
