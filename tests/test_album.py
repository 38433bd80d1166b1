"""Folders of the user's own pictures: what is read is what people see, and what cannot be read is named."""

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlm_gym.actions import parse
from vlm_gym.album import open_album, open_picture
from vlm_gym.render import draw, look
from vlm_gym.scene import Scene, Symbol

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

CORNERS = {(0, 0): (250, 0, 0), (0, 1): (0, 250, 0), (1, 0): (0, 0, 250), (1, 1): (250, 250, 0)}
"""Colours of the quarters of a picture that stands upright, by row and column."""

STORED = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 3),
}
"""How a camera stores an upright picture, by the orientation of EXIF 2.32, table 6."""


def quarters(side: int = 64) -> Pixels:
    pixels = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    for (row, col), color in CORNERS.items():
        pixels[row * half : (row + 1) * half, col * half : (col + 1) * half] = color
    return pixels


def album(folder: Path, *classes: str) -> Path:
    """Make a folder of these classes, with three pictures each."""
    for kind in classes:
        (folder / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (16, 16), (80 * number, 90, 30)).save(folder / kind / f"{number}.png")
    return folder


def png(header: tuple[int, int, int, int], rows: bytes, *others: tuple[bytes, bytes]) -> bytes:
    """Write a PNG by hand: width, height, bits and colour type, and its raw rows with their filter bytes."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)),
        *others,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    words = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        words += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return words


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_photos_stand_upright_however_the_camera_was_held(
    tmp_path: Path, orientation: int, name: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](quarters()))
    Image.fromarray(stored).save(
        tmp_path / name, exif=exif, **({"quality": 95} if name.endswith("g") else {})
    )
    seen = np.asarray(open_picture(tmp_path / name).convert("RGB")).astype(int)
    for row, col in CORNERS:
        assert np.abs(seen[16 + 32 * row, 16 + 32 * col] - CORNERS[row, col]).max() < 12


def test_a_photo_of_many_pixels_is_upright_and_reduced(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(quarters(2400)))).save(tmp_path / "big.jpg", exif=exif)
    picture = open_picture(tmp_path / "big.jpg")
    assert picture.size == (512, 512)
    assert np.abs(np.asarray(picture.convert("RGB"))[100, 400].astype(int) - (0, 250, 0)).max() < 12


RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [(0, 16), (2, 16), (4, 16), (6, 16), (0, 8)],
    ids=["grey", "RGB", "grey with alpha", "RGB with alpha", "8 bit"],
)
def test_levels_of_16_bits_are_the_same_picture_as_in_8_bits(tmp_path: Path, kind: int, bits: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    levels = np.repeat(RAMP[:, :, None], channels, axis=2)
    if kind in (4, 6):
        levels[:, :, -1] = 65535
    stored = levels.astype(">u2") if bits == 16 else (levels / 257).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in stored)
    (tmp_path / "x.png").write_bytes(png((64, 64, bits, kind), rows))
    seen = np.asarray(open_picture(tmp_path / "x.png"))
    assert seen.shape == (64, 64, 4)
    for channel in range(3):
        assert np.abs(seen[:, :, channel] - RAMP / 257).max() <= 1.0
    assert (seen[:, :, 3] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_a_file_can_be_seen(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (20, 20), 255)
    if mode == "I;16":
        picture = Image.fromarray(np.full((20, 20), 65535, np.uint16))
    else:
        picture = grey.convert("RGB").convert(mode)
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    picture.save(path)
    seen = np.asarray(open_picture(path))
    assert (seen >= 253).all()


@pytest.mark.parametrize("size", [(60, 30), (30, 60), (7, 64), (1600, 400)])
def test_a_picture_that_is_not_square_keeps_its_proportions(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (255, 0, 0)).save(tmp_path / "flag.png")
    picture = open_picture(tmp_path / "flag.png")
    assert picture.width == picture.height
    scene = Scene(1, 1, (Symbol("picture", "flag", variant=str(tmp_path / "flag.png")),))
    frame = draw(scene, look({"size": 256})).astype(int)
    red = (frame[:, :, 0] > 200) & (frame[:, :, 1] < 60)
    height = red.any(axis=1).sum()
    width = red.any(axis=0).sum()
    assert width / height == pytest.approx(size[0] / size[1], rel=0.1)
    rows, cols = np.nonzero(red)
    assert abs(rows.mean() - 127.5) < 2
    assert abs(cols.mean() - 127.5) < 2


def test_a_transparent_picture_that_is_padded_has_no_dark_edge(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 32), (255, 255, 255, 255)).save(tmp_path / "white.png")
    scene = Scene(1, 1, (Symbol("picture", "white", variant=str(tmp_path / "white.png")),))
    frame = draw(scene, look({"size": 128}))
    face = frame[16, 64].astype(int)  # the tile above the picture
    between = frame[20:108, 64].astype(int)
    assert (between >= face - 6).all()


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "progressive.jpg"])
def test_a_file_that_broke_off_is_named_when_the_album_opens(tmp_path: Path, name: str) -> None:
    folder = album(tmp_path / "own", "cat", "dog")
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    path = folder / "cat" / name
    Image.fromarray(noise).save(path, **({"progressive": True} if name.startswith("prog") else {}))
    whole = path.read_bytes()
    open_album.__wrapped__(str(folder))
    for length in range(0, len(whole) - 200, len(whole) // 40):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"cat/{name} cannot be read as a picture"):
            open_album.__wrapped__(str(folder))


def spoilt(folder: Path, count: int, seed: int) -> None:
    """Change bytes of pictures: an album that opens can be drawn, and one that does not names the file."""
    dice = random.Random(seed)
    album(folder, "cat", "dog")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)
    kept = []
    for name, options in (("a.jpg", {"exif": exif}), ("b.png", {"exif": exif}), ("c.png", {})):
        picture = Image.fromarray(noise).quantize(16) if name == "c.png" else Image.fromarray(noise)
        picture.save(folder / "cat" / name, **options)
        kept.append((folder / "cat" / name, (folder / "cat" / name).read_bytes()))
    opened = 0
    for _ in range(count):
        path, whole = dice.choice(kept)
        changed = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(min(len(changed), dice.choice([60, 300, 10**6])))
            changed[place] = dice.randrange(256)
        path.write_bytes(changed)
        problem = ""
        try:
            open_album.__wrapped__(str(folder))
        except ValueError as error:
            problem = str(error)
        if problem:
            assert f"{path} cannot be read as a picture" in problem
        else:
            opened += 1
            assert open_picture(path).mode == "RGBA"
        path.write_bytes(whole)
    assert 0.02 < opened / count < 0.98


@pytest.mark.filterwarnings("ignore")
def test_pictures_of_spoilt_bytes_open_or_are_named(tmp_path: Path) -> None:
    spoilt(tmp_path / "own", 300, seed=1)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.faults
@pytest.mark.filterwarnings("ignore")
def test_20_000_pictures_of_spoilt_bytes_open_or_are_named(tmp_path: Path) -> None:
    spoilt(tmp_path / "own", 20_000, seed=2)


@pytest.mark.parametrize(
    "name",
    [
        "a|b", "|", "<think>", "</answer>", "a<b", "<image>", "a\nb", "a\tb", "a\rb", "a\x1bb", "a\x85b",
        "a\u2028b", "a\u200bb", "a\udcffb", "a\u00a0b", "\u202eab",
    ],
)  # fmt: skip
def test_a_class_whose_name_breaks_the_description_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="breaks the description of a board; rename the folder"):
        open_album(str(album(tmp_path, name.replace("/", "\u2215") if "/" in name else name, "dog")))


@pytest.mark.parametrize("name", ["-", " - ", "-_", " ", "  ", "\uff0d"])
def test_a_class_that_reads_as_an_empty_cell_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="reads as an empty cell; rename the folder"):
        open_album(str(album(tmp_path, name, "dog")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bird", "bird"),
        ("stop_sign", "stop sign"),
        ("stop sign", "stop  sign"),
        ("bird ", "bird"),
        ("bird", "bird_"),
        ("na\u00efve", "nai\u0308ve"),
        ("\ufb01sh", "fish"),
        ("\uff21", "a"),
        ("STRASSE", "stra\u00dfe"),
    ],
)
def test_two_classes_that_read_the_same_are_refused(tmp_path: Path, one: str, other: str) -> None:
    with pytest.raises(ValueError, match="two classes that read the same"):
        open_album(str(album(tmp_path, one, other)))


def test_classes_read_as_they_are_graded(tmp_path: Path) -> None:
    names = ["Polar_Bear", " ice  cream", "x-ray", "--", "50%", "a,b", "cre\u0300me", "3", "o'clock"]
    opened = open_album(str(album(tmp_path, *names)))
    words = {pictures[0].words for pictures in opened["train"]}
    assert words == {"polar bear", "ice cream", "x-ray", "--", "50%", "a,b", "cr\u00e8me", "3", "o'clock"}
    for pictures in opened["train"]:
        scene = Scene(2, 2, (pictures[0], None, None, pictures[1]))
        said = parse(f"<perception>{scene.describe()}</perception><answer>up</answer>", ["up"])
        assert said.perception is not None
        assert scene.grade(said.perception) == 1.0
        assert scene.misread(said.perception) == {}


@pytest.mark.parametrize("name", ["._0.png", ".hidden.jpg", "._", ".DS_Store", "Thumbs.db", "0.png.part"])
def test_files_that_systems_leave_behind_are_no_pictures(tmp_path: Path, name: str) -> None:
    folder = album(tmp_path, "cat", "dog")
    (folder / "cat" / name).write_bytes(b"\0\5\26\7 Mac OS X")
    opened = open_album(str(folder))
    assert sum(len(pictures) for split in opened.values() for pictures in split) == 6


def test_a_home_that_is_not_there_is_one_error() -> None:
    with pytest.raises(ValueError, match="is no folder: "):
        open_album("~nobody-of-this-name/pictures")
