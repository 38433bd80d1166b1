"""Pictures for remote models: what is decoded, by another library, is what was drawn."""

import base64
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlm_gym.registry import find, names
from vlm_gym.render import LOOKS, Frame, draw, look
from vlm_gym.render.encode import data_url, png


def decoded(data: bytes) -> Frame:
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


@st.composite
def pictures(draw: st.DrawFn) -> Frame:
    """Draw pictures of any size, of one colour to 256 colours or of noise, in runs or scattered."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    colors = rng.integers(0, 256, (draw(st.integers(1, 256)), 3), np.uint8)
    kind = draw(st.sampled_from(["scattered", "blocks", "noise"]))
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    picks = colors[rng.integers(0, len(colors), (height, width))]
    if kind == "scattered":
        return picks
    block = draw(st.integers(2, 20))
    return picks.repeat(block, 0).repeat(block, 1)[:height, :width]


@given(pictures())
def test_any_picture_comes_back_as_it_was(picture: Frame) -> None:
    assert np.array_equal(decoded(png(picture)), picture)


@pytest.mark.parametrize("perception", range(len(LOOKS)))
@pytest.mark.parametrize("name", names())
def test_pictures_of_every_game_and_level_come_back_as_they_were(name: str, perception: int) -> None:
    game = find(name)
    for reasoning in (0, 2, 4):
        state = game.start(reasoning, game.settle(reasoning))
        picture = draw(game.scene(state), look(perception), state.seed)
        assert np.array_equal(decoded(png(picture)), picture)


@pytest.mark.parametrize("name", names())
def test_a_clean_board_takes_a_fraction_of_its_bytes(name: str) -> None:
    game = find(name)
    state = game.start(0, game.settle(2))
    picture = draw(game.scene(state), look(0))
    assert len(png(picture)) < picture.nbytes / 4


def test_noise_is_sent_as_differences_between_rows() -> None:
    slope = np.linspace(0, 200, 448)[:, None, None]
    grain = np.random.default_rng(0).integers(0, 20, (448, 448, 3))
    noise = (slope + grain).astype(np.uint8)
    assert np.array_equal(decoded(png(noise)), noise)
    # Values spread over 0..219 take some 7.6 bits each, their differences, mostly within 19 of 0, some 5.
    assert len(png(noise)) < noise.nbytes * 6 / 8


def test_a_view_that_is_not_contiguous_is_encoded_as_it_looks() -> None:
    whole = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    for view in (whole[::2, 1:-1], whole[::-1], whole.transpose(1, 0, 2), whole[:, :, ::-1]):
        assert np.array_equal(decoded(png(view)), view)


def test_the_picture_itself_is_left_alone() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    before = picture.copy()
    png(picture)
    assert np.array_equal(picture, before)


def test_equal_pictures_give_equal_bytes() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (100, 100, 3), np.uint8)
    assert png(picture) == png(picture.copy())


def test_a_data_url_holds_the_png() -> None:
    picture = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    head, _, body = data_url(picture).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body, validate=True) == png(picture)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_with_its_shape(wrong: Frame) -> None:
    with pytest.raises(ValueError, match=r"a picture is uint8 \(height, width, 3\)") as told:
        png(wrong)
    assert str(wrong.shape) in str(told.value)
