"""Pictures as PNG, lossless and fast: for models behind a server, which take them as data URLs.

One compressor serves every picture, the deflate of ISA-L at level 1. One choice is made for each: a picture
with noise goes as differences between its rows, which are smaller numbers; one without goes as it is, since
its runs and repeated tiles are what the compressor finds. Palettes are not worth it: to count the colours of
a picture takes longer than to compress it.
"""

from struct import pack
from zlib import crc32

import numpy as np
from isal.igzip_lib import COMP_ZLIB, MEM_LEVEL_EXTRA_LARGE, compress
from pybase64 import b64encode_as_string

from vlm_gym.render import Frame

_PLAIN = 0
_UP = 2
"""Filters of the PNG specification: a row as it is, and its difference from the row above."""

_NOISY = 0.1
"""A picture of which fewer than this share of values equal those above them is noisy."""

_SAMPLE = 16
"""Every row of this number is sampled to find noise."""


def png(frame: Frame) -> bytes:
    """Encode a picture, uint8 (height, width, 3), RGB, as the bytes of a PNG file."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ValueError(f"cannot encode {frame.dtype} {frame.shape}; a picture is uint8 (height, width, 3)")
    height, width, _ = frame.shape
    pixels = frame.reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), np.uint8)  # every row follows a byte that names its filter
    if _noisy(pixels):
        rows[:, 0] = _UP
        rows[0, 1:] = pixels[0]
        np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    else:
        rows[:, 0] = _PLAIN
        rows[:, 1:] = pixels
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),  # 8 bits, RGB, not interlaced
            _chunk(b"IDAT", compress(rows, 1, COMP_ZLIB, MEM_LEVEL_EXTRA_LARGE)),
            _chunk(b"IEND", b""),
        )
    )


def data_url(frame: Frame) -> str:
    """Encode a picture as ``data:image/png;base64,...``, which chat APIs take in place of an address."""
    return "data:image/png;base64," + b64encode_as_string(png(frame))


def _noisy(pixels: Frame) -> bool:
    """Return whether values, (height, 3 * width), hardly ever equal those right above them."""
    above = pixels[:-1:_SAMPLE]
    below = pixels[1::_SAMPLE]
    return bool(above.size) and float(np.count_nonzero(above == below)) < _NOISY * above.size


def _chunk(chunk_type: bytes, data: bytes) -> bytes:
    return b"".join((pack(">I", len(data)), chunk_type, data, pack(">I", crc32(data, crc32(chunk_type)))))
