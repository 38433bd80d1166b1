"""Pictures: equal for equal states, readable at every level, and as they have always been."""

import copy
import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlm_gym.dice import Dice
from vlm_gym.render import LOOKS, THEMES, Look, Painter, draw, layout_of, look
from vlm_gym.render.frames import FrameStore
from vlm_gym.render.icons import ICON_DRAWINGS as DRAWN
from vlm_gym.render.layout import layout
from vlm_gym.render.reader import Reader
from vlm_gym.render.theme import hues, oklab
from vlm_gym.scene import COLORS, ICONS, SHAPES, Object, Scene, Symbol

GOLDEN = Path(__file__).parent / "golden"
SYMBOLS = [
    *(Symbol("shape", shape, color) for shape in SHAPES for color in COLORS),
    *(Symbol("number", str(1 << power)) for power in range(1, 18)),
    *(Symbol("text", letter) for letter in "AKQJ7"),
]
PARTS = [
    *(Symbol("icon", name) for name in ICONS),
    *(Symbol("icon", name, color) for name in ("key", "door") for color in ("blue", "green")),
    *(Symbol("icon", "block", color) for color in COLORS),
    *(Symbol("icon", "disc", color) for color in ("yellow", "blue")),
    *(Symbol("text", digit) for digit in "0123456789"),
]
"""Symbols of which many games are made."""


def scene(seed: int, rows: int = 4, cols: int = 4, symbols: list[Symbol] = SYMBOLS) -> Scene:
    dice = Dice(seed)
    cells = [dice.choice([None, *symbols]) if dice.chance(0.9) else None for _ in range(rows * cols)]
    return Scene(rows, cols, tuple(cells))


@pytest.mark.parametrize("level", range(5))
def test_a_scene_looks_the_same_however_the_painter_came_to_it(level: int) -> None:
    painter, size = Painter(LOOKS[level]), LOOKS[level].size
    for step in range(60):  # from scene to scene, changing a few cells, the shape, or the seed
        board = scene(step // 3, rows=3 + step // 20, cols=4)
        cells = list(board.cells)
        cells[step % 5] = SYMBOLS[step]
        board = Scene(board.rows, board.cols, tuple(cells))
        frame = painter.paint(board, seed=step // 7, turn=step)
        assert frame.shape == (size, size, 3)
        assert frame.dtype == np.uint8
        assert np.array_equal(frame, draw(board, LOOKS[level], seed=step // 7, turn=step))


@pytest.mark.parametrize("level", [0, 4])
def test_drawing_onto_a_canvas_or_into_an_array_gives_the_same_picture(level: int) -> None:
    batch = np.full((3, 448, 448, 3), 77, np.uint8)
    painter = Painter(LOOKS[level], canvas=batch[1])
    for step in range(5):
        plain = draw(scene(step), LOOKS[level], seed=2, turn=step)
        assert painter.paint(scene(step), seed=2, turn=step).base is batch
        assert np.array_equal(batch[1], plain)
        out = np.empty_like(plain)
        assert painter.paint(scene(step), seed=2, turn=step, out=out) is out
        assert np.array_equal(out, plain)
    assert (batch[[0, 2]] == 77).all()


@pytest.mark.parametrize("level", [0, 4])
def test_a_scene_can_be_drawn_into_an_array_that_lies_in_planes(level: int) -> None:
    planes = np.empty((3, 448, 448), np.uint8)  # as torch has pictures
    out = planes.transpose(1, 2, 0)
    assert draw(scene(1), LOOKS[level], seed=2, out=out) is out
    assert np.array_equal(out, draw(scene(1), LOOKS[level], seed=2))


def test_copied_and_pickled_painters_draw_alike() -> None:
    painter = Painter(LOOKS[2])
    painter.paint(scene(1), seed=1)
    for twin in (copy.deepcopy(painter), pickle.loads(pickle.dumps(painter))):
        assert np.array_equal(twin.paint(scene(2), seed=1), painter.paint(scene(2), seed=1))


def test_frames_are_used_again_only_when_nobody_holds_them_or_a_view() -> None:
    store = FrameStore(64)
    frame = store.take()
    view, address = frame[3], frame.ctypes.data
    assert store.take().ctypes.data != address
    del frame
    assert store.take().ctypes.data != address  # the view still holds it
    del view
    assert store.take().ctypes.data == address
    held = [store.take() for _ in range(20)]
    assert len({frame.ctypes.data for frame in held}) == 20


def test_two_looks_of_a_state_differ_and_noise_differs_from_turn_to_turn() -> None:
    noisy = Look(noise=0.5)
    assert not np.array_equal(draw(scene(1), noisy, 1, 0), draw(scene(1), noisy, 1, 1))
    frames = [draw(scene(1), level, seed=1).tobytes() for level in LOOKS]
    assert len(set(frames)) == len(LOOKS)


@pytest.mark.parametrize("noise", [0.25, 1.0])
def test_noise_has_the_spread_that_its_knob_says_and_no_bias(noise: float) -> None:
    blank = Scene(1, 1, (None,))
    plain = draw(blank, Look()).astype(float)
    grain = draw(blank, Look(noise=noise)).astype(float)
    room = 6 * 28 * noise
    developed = (
        plain * (255 - round(room)) / 255
    ).round()  # what is left free for noise, see `Brush.develop`
    difference = grain - developed
    assert abs(difference.mean() - room / 2) < 1
    assert abs(difference.std() - 28 * noise) < 1.5


# --- readable


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("level", range(5))
def test_no_two_colors_come_close(theme: str, level: int) -> None:
    named = hues(THEMES[theme], LOOKS[level].color_distance)
    lab = oklab(np.array(list(named.values())))
    for (one, left), (other, right) in itertools.combinations(zip(named, lab, strict=True), 2):
        # 0.02 is about the smallest difference that eyes notice (Ottosson, 2020).
        assert np.linalg.norm(left - right) > 0.07, (one, other)


MIDDLE = [pytest.param(level, marks=[pytest.mark.slow, pytest.mark.long]) for level in (2, 3)]
"""Levels between those whose drawings differ least and most."""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("level", [0, 1, *MIDDLE, 4])
def test_every_symbol_is_read_rightly_in_every_theme(theme: str, level: int) -> None:
    hard = look({"level": level, "theme": theme, "size": 128})
    reader = Reader(hard, 4, 4, SYMBOLS)
    painter = Painter(hard)
    for seed in range(12):
        board = scene(seed)
        assert reader.read(painter.paint(board, seed, seed), seed).describe() == board.describe()


@pytest.mark.parametrize("symbols", [SYMBOLS, PARTS], ids=["tiles", "parts"])
@pytest.mark.parametrize("level", [0, 1, *MIDDLE, 4])
def test_no_drawing_of_one_symbol_is_close_to_any_drawing_of_another(
    level: int, symbols: list[Symbol]
) -> None:
    for theme in THEMES:
        reader = Reader(look({"level": level, "theme": theme, "size": 192}), 4, 4, symbols)
        ways = reader.templates(0)
        flat = ways.reshape(len(ways), -1)
        squares = (flat**2).sum(axis=1)
        distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * flat @ flat.T, 0) / flat.shape[1])
        kind = np.arange(len(flat)) // (len(flat) // len(reader.symbols))
        distance[kind[:, None] == kind] = np.inf
        closest = np.unravel_index(distance.argmin(), distance.shape)
        # Root mean square over a cell of 48 pixels in grey levels; the noise of level 4, 14 levels, averages
        # out to 14 / sqrt(48 * 48 * 3) = 0.17 there.
        assert distance.min() > 3, [reader.symbols[kind[index]] for index in closest]


@pytest.mark.parametrize("level", range(5))
def test_objects_are_found_to_the_step_and_notes_read_in_every_theme(level: int) -> None:
    ball = Symbol("icon", "ball")
    paddle = Symbol("icon", "paddle")
    texts = [f"lives: {count}" for count in range(10)]
    for number, theme in enumerate(THEMES):
        hard = look({"level": level, "theme": theme, "size": 224})
        reader = Reader(hard, 6, 6, [Symbol("icon", "brick")], [ball, paddle], [texts, ["ready", "go"]])
        painter = Painter(hard)
        for seed in range(2):
            dice = Dice(seed, number)
            place = lambda dice=dice: dice.below(501) / 100  # noqa: E731
            objects = Object(ball, place(), place()), Object(paddle, 5, place())
            notes = dice.choice(texts), "go"
            board = scene(seed, 6, 6, [Symbol("icon", "brick")])._replace(objects=objects, notes=notes)
            read = reader.read(painter.paint(board, seed, seed), seed)
            assert board.grade(read.describe()) == 1.0, (board.describe(), read.describe())


def test_every_icon_that_a_scene_knows_is_drawn() -> None:
    assert tuple(DRAWN) == ICONS


def test_an_object_at_whole_numbers_covers_one_cell_and_moves_without_a_trace() -> None:
    clean = Scene(3, 3, (None,) * 9)
    painter = Painter(LOOKS[0])
    before = painter.paint(clean).copy()
    where = layout_of(clean, Look())
    for row, col in ((1.0, 1.0), (0.3, 1.6), (2.0, 2.0)):
        ball = clean._replace(objects=(Object(Symbol("icon", "ball"), row, col),))
        changed = np.argwhere((painter.paint(ball) != before).any(axis=2))
        y, x = where.corner_at(row, col)
        assert (changed.min(axis=0) >= (y, x)).all()
        assert (changed.max(axis=0) < (y + where.side, x + where.side)).all()
        if row == int(row):
            assert len(where.under((y, x))) == 1
    assert np.array_equal(painter.paint(clean), before)


def test_notes_take_a_band_below_the_board() -> None:
    plain = Scene(4, 4, (None,) * 16)
    noted = plain._replace(notes=("one", "two"))
    where = layout_of(noted, Look())
    last = where.cells()[-1]
    assert where.side < layout_of(plain, Look()).side
    assert [y for y, _ in where.notes] == [448 - 2 * where.line, 448 - where.line]
    assert last[0] + where.side <= where.notes[0][0]
    drawn = draw(noted, LOOKS[0])
    changed = np.argwhere((draw(noted._replace(notes=("one", "six")), LOOKS[0]) != drawn).any(axis=2))
    assert changed[:, 0].min() >= where.notes[1][0]


@pytest.mark.parametrize("rows", [4, 6, 8])
def test_cells_are_as_small_as_asked_in_the_middle_of_the_picture(rows: int) -> None:
    small = look({"level": 0, "size": 256, "cell": 32})
    where = layout_of(Scene(rows, rows, (None,) * rows**2), small)
    assert where.side == 32
    assert where.corner == (128 - 16 * rows, 128 - 16 * rows)
    # A larger limit than there is room for changes nothing.
    roomy = look({"level": 0, "size": 256, "cell": 100})
    assert layout_of(Scene(rows, rows, (None,) * rows**2), roomy).side == 256 // rows


def test_small_cells_are_drawn_as_in_a_small_picture() -> None:
    small = draw(scene(1), look({"level": 0, "size": 128}), 1)
    centred = draw(scene(1), look({"level": 0, "size": 256, "cell": 32}), 1)
    assert np.array_equal(centred[64:192, 64:192], small)
    reader = Reader(look({"level": 0, "size": 256, "cell": 32}), 4, 4, SYMBOLS)
    assert reader.read(centred, 1) == scene(1)


def test_cells_of_a_few_pixels_are_an_error_that_names_the_least() -> None:
    with pytest.raises(ValueError, match="cell=7 is too small; cell takes 0 or 8 or more"):
        layout_of(scene(1), look({"level": 0, "cell": 7}))


def test_a_pixel_is_of_the_cell_that_is_drawn_there() -> None:
    where = layout_of(Scene(2, 3, (None,) * 6, notes=("a",)), Look(size=100))
    for index, (y, x) in enumerate(where.cells()):
        assert where.cell_at((y, x)) == where.cell_at((y + where.side - 1, x + where.side - 1)) == index
    assert where.cell_at((where.corner[0] - 1, 50)) is None
    assert where.cell_at((99, 50)) is None


@pytest.mark.parametrize("rows", [4, 9])
@pytest.mark.parametrize("notes", [0, 1, 3])
def test_a_picture_too_small_names_the_smallest_size_that_is_large_enough(rows: int, notes: int) -> None:
    with pytest.raises(ValueError, match=r"size=30 is too small .* size takes (\d+) or more here") as error:
        layout(rows, rows, notes, 30)
    least = int(str(error.value).split()[-4])
    assert layout(rows, rows, notes, least).side >= 8
    with pytest.raises(ValueError, match="too small"):
        layout(rows, rows, notes, least - 1)


def test_a_reader_of_another_look_fails_so_the_test_above_can_fail() -> None:
    blind = look({"level": 0, "color_distance": 0.4, "theme": "night"})
    reader = Reader(look({"level": 0, "theme": "print"}), 4, 4, SYMBOLS)
    wrong = [reader.read(draw(scene(seed), blind, seed), seed) != scene(seed) for seed in range(5)]
    assert all(wrong)


# --- errors and places


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        (Symbol("shape", "moon", "red"), "unknown shape 'moon'; shapes: circle"),
        (Symbol("shape", "circle", "pink"), "unknown colour 'pink'; colours: red"),
        (Symbol("icon", "ghost"), "unknown icon 'ghost'; icons: wall, box"),
        (Symbol("blob", "x"), "unknown kind of symbol 'blob'; kinds: number"),
    ],
)
def test_a_symbol_that_cannot_be_drawn_is_an_error(symbol: Symbol, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        draw(Scene(1, 1, (symbol,)), Look())


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 5), (12, 12), (7, 2)])
@pytest.mark.parametrize("size", [96, 100, 448, 1024])
def test_cells_lie_side_by_side_in_the_middle(rows: int, cols: int, size: int) -> None:
    places = layout_of(Scene(rows, cols, (None,) * (rows * cols)), Look(size=size)).cells()
    side = size // max(rows, cols)
    top, left = places[0]
    assert places == [(top + r * side, left + c * side) for r in range(rows) for c in range(cols)]
    assert abs(2 * top + rows * side - size) <= 1
    assert abs(2 * left + cols * side - size) <= 1


# --- golden pictures


def golden_scene() -> Scene:
    return scene(3, 5, 5)


@pytest.mark.parametrize("level", range(5))
def test_pictures_are_as_they_were(level: int) -> None:
    """Made by ``python tests/test_render.py``; look at the pictures before you commit new ones."""
    wanted = np.asarray(Image.open(GOLDEN / f"level{level}.png").convert("RGB")).astype(int)
    drawn = draw(golden_scene(), look({"level": level, "size": 256}), seed=5, turn=1).astype(int)
    # Font rasterisers differ in the last bit between versions.
    assert np.abs(wanted - drawn).mean() < 0.5


def test_pictures_do_not_depend_on_the_process() -> None:
    code = (
        "from hashlib import sha256; from vlm_gym.render import *; from vlm_gym.registry import find;"
        "g = find('2048'); s = g.start(3, g.levels[2]);"
        "print(sha256(b''.join(draw(g.scene(s), k, 3, 1).tobytes() for k in LOOKS)).hexdigest())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(prints) == 1


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for level in range(5):
        picture = draw(golden_scene(), look({"level": level, "size": 256}), seed=5, turn=1)
        Image.fromarray(picture).save(GOLDEN / f"level{level}.png", optimize=True)
