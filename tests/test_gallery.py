"""The gallery: sheets and films of every game, made by command and shown in the documents."""

import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.registry import names
from vlm_gym.render import LOOKS

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


def test_the_front_picture_shows_every_game_and_every_level_of_perception(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["games", "--picture", str(tmp_path / "games.png")])
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "games.png") as drawn, Image.open(SHOWN.parent / "games.png") as shown:
        assert drawn.size == shown.size
        sheet = drawn.convert("RGB")
    boards = []
    for top in range(58, sheet.height, 272):
        for left in range(28, sheet.width, 242):
            board = sheet.crop((left, top, left + 224, top + 224))
            if board.getpixel((0, 0)) != (255, 255, 255):  # white where the title is
                boards.append(board.tobytes())
    assert len(boards) == len(names()) + len(LOOKS)
    assert len(set(boards)) == len(boards) - 1  # a game of the list at level 0 begins the row of levels
    assert (SHOWN.parent / "games.png").stat().st_size < 400_000
