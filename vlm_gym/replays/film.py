"""Episodes as films: the picture of each turn, and below it, outside, what was done and what came of it."""

import struct
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from vlm_gym.registry import find
from vlm_gym.render import Frame, Painter, look
from vlm_gym.replays.replay import Play, blaming
from vlm_gym.storage import whole

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

SECONDS = 0.8
"""A turn is shown so long, the end three times as long."""
ENLARGED_TO = 384
"""Pixels up to which a small picture is enlarged, by a whole factor, so that it stays exact."""

_STRIP = 64
_MARGIN = 12
_PAPER = "#faf9f6"
_INK = "#22262b"
_FAINT = "#6a7077"
_LOST = "#c8553f"


def write_film(play: Play, path: Path, seconds: float = SECONDS) -> None:
    """Write an episode as ``.gif``, in 256 colours a frame, or as ``.mp4``.

    Frames are drawn and written one by one, so that memory does not grow with the episode. The film is whole
    or not there. Raises `ValueError` for another ending, `RuntimeError` where what writes MP4 is not
    installed.
    """
    if not seconds > 0:
        raise ValueError(f"seconds={seconds} is not possible; a turn is shown for more than 0 seconds")
    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"a film cannot be written to {path}; it takes a name that ends in .gif or .mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    write = _write_gif if path.suffix == ".gif" else _write_mp4
    with whole(path) as aside:
        write(aside, captioned_frames(play), seconds)


def captioned_frames(play: Play) -> Iterator["Image"]:
    """Draw every turn and the end, with captions: RGB, all of one size, with even sides, as video needs."""
    game = find(play.episode.game)
    view = look(play.episode.perception)
    painter = Painter(view)
    for turn in play.turns:
        frame = painter.paint(game.scene(turn.state), turn.state.seed, turn.state.turn)
        action = "no action" if turn.action is None else turn.action
        outcome = turn.error or turn.event
        yield _caption(
            frame, f"{turn.number + 1} · {action}", f"{turn.score:g} {game.unit}", outcome, bool(turn.error)
        )
    last = play.turns[-1]
    with blaming(play, -1):
        state = last.state if last.action is None else game.step(last.state, last.action).state
        frame = painter.paint(game.scene(state), state.seed, state.turn)
    if last.success:
        end = "Goal reached"
    else:
        end = (
            "The game is over" if last.terminated else "No turns are left" if last.truncated else "Left here"
        )
    yield _caption(frame, end, f"{last.score:g} {game.unit}", f"{game.title}, played by {play.policy}", False)


def _caption(frame: Frame, title: str, score: str, below: str, lost: bool) -> "Image":
    """Return a picture with a strip of text below it. Both sides have an even number of pixels."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(frame)
    zoom = max(1, ENLARGED_TO // picture.width)
    side = picture.width * zoom
    paper = Image.new("RGB", (side + side % 2, side + _STRIP + side % 2), _PAPER)
    paper.paste(picture.resize((side, side), Image.Resampling.NEAREST))
    pen = ImageDraw.Draw(paper)
    bold = _font("rounded", 19)
    small = _font("sans", 14)
    room = side - 2 * _MARGIN
    pen.text((side - _MARGIN, side + 9), score, _FAINT, small, anchor="ra")
    pen.text((_MARGIN, side + 6), _cut(title, bold, room - small.getlength(score) - 8), _INK, bold)
    pen.text((_MARGIN, side + 37), _cut(below, small, room), _LOST if lost else _FAINT, small)
    return paper


def _cut(text: str, font: "FreeTypeFont", room: float) -> str:
    """Shorten one line of words until it fits."""
    text = " ".join(text.split())
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


@lru_cache(maxsize=2)
def _font(name: str, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(str(files("vlm_gym.assets") / "fonts" / f"{name}.ttf"), size)


def _write_gif(path: Path, images: Iterator["Image"], seconds: float) -> None:
    """Write frames as GIF89a. Pillow's own writer of animations keeps all frames in memory."""
    with path.open("wb") as file:
        shown = next(images)
        file.write(_gif_head(*shown.size))
        drawn = _inked(shown)
        corner = (0, 0)
        for image in images:
            file.writelines(_gif_frame(drawn, corner, seconds))
            drawn, corner = _changed(shown, image)
            shown = image
        file.writelines(_gif_frame(drawn, corner, 3 * seconds))
        file.write(b";")


def _gif_head(width: int, height: int) -> bytes:
    """Write the header of a GIF: its size, no palette for all frames, and that it repeats for ever."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", width, height, 0, 0, 0)
    return screen + b"\x21\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, 0, 0)


def _gif_frame(image: "Image", corner: tuple[int, int], seconds: float) -> list[bytes]:
    """Encode an image with its own palette, which is put on the film at a corner (left, top)."""
    from PIL.GifImagePlugin import getdata

    return getdata(image, corner, duration=round(1000 * seconds), include_color_table=True)


def _inked(image: "Image") -> "Image":
    """Reduce an image to 256 colours: octrees keep the hues of noisy pictures; dithering would be noise."""
    from PIL import Image

    return image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _changed(before: "Image", image: "Image") -> tuple["Image", tuple[int, int]]:
    """Reduce the part of a frame that differs from the one before. Return it with its corner (left, top)."""
    from PIL import ImageChops

    box = ImageChops.difference(before, image).getbbox() or (0, 0, 1, 1)
    return _inked(image.crop(box)), box[:2]


def _write_mp4(path: Path, images: Iterator["Image"], seconds: float) -> None:
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise RuntimeError(f"MP4 needs the extra 'video': pip install 'vlm-gym[video]' ({error})") from error
    shown = next(images)
    # One video frame a turn: players need no more, and files stay small. An absolute path is never taken for
    # a protocol, such as `a:b.mp4`, and the format is named since the path does not end in it.
    film = write_frames(
        str(path.absolute()),
        shown.size,
        fps=1 / seconds,
        codec="libx264",
        quality=8,
        macro_block_size=2,
        output_params=["-f", "mp4"],
    )
    try:
        film.send(None)
        film.send(shown.tobytes())
        for shown in images:
            film.send(shown.tobytes())
        for _ in range(2):  # the end is shown three times as long
            film.send(shown.tobytes())
    finally:
        film.close()
