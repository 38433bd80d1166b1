"""Objects drawn over cells: only the box that they fill is touched, with the pixels of the whole cell."""

import numpy as np
import pytest

from vlm_gym.render import look
from vlm_gym.render.sprite import Brush
from vlm_gym.scene import Symbol


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("name", ["ball", "paddle", "head"])
def test_an_object_is_drawn_as_if_its_whole_cell_were(level: int, name: str) -> None:
    brush = Brush(look(level), "night", 40)
    overlay = brush.overlay(Symbol("icon", name), 1)
    frame = np.random.default_rng(level).integers(0, 200, (60, 60, 3)).astype(np.uint8)
    below = frame[7:47, 11:51].astype(np.int64)
    wanted = frame.copy()
    wanted[7:47, 11:51] = (below * overlay.keep >> 8) + overlay.paint
    overlay.draw(frame, (7, 11))
    assert (frame == wanted).all()


def test_a_ball_fills_a_part_of_its_cell() -> None:
    rows, cols = Brush(look(0), "classic", 40).overlay(Symbol("icon", "ball"), 0).box
    assert (rows.stop - rows.start) * (cols.stop - cols.start) < 40 * 40 / 2
