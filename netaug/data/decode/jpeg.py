"""JPEG files into pixels: whole by simplejpeg if installed, else torchvision; smaller straight from the coefficients.

All decode with libjpeg-turbo and give the same bits (tested): which one is installed changes the speed alone. The file
``environment.json`` of a run names the decoder, and a run that resumes with another one says so.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from netaug.data.decode.headers import FRAMES

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

PixelsHWC = npt.NDArray[np.uint8]

DIVISORS = (8, 4, 2)
"""By how much height and width can be divided while decoding, largest first: libjpeg's fast scales."""

_EXIF = b"Exif\0\0"
_MARKER, _SCAN, _APP1 = 0xFF, 0xDA, 0xE1
_ORIENTATION, _SHORT, _UPRIGHT = 0x0112, 3, 1


def decoder() -> str:
    """Name and version of what decodes whole JPEG files."""
    name = "torchvision" if simplejpeg is None else "simplejpeg"
    return f"{name} {importlib.metadata.version(name)}"


def is_jpeg(content: bytes | bytearray) -> bool:
    """Return whether a file's bytes start as those of a JPEG."""
    return content[:2] == b"\xff\xd8"


def decode_whole(content: bytes | bytearray, in_chans: int) -> PixelsHWC | None:
    """Decode a plain JPEG with simplejpeg, every pixel.

    Args:
        content: The file's bytes.
        in_chans: 1 for gray, 3 for color.

    Returns:
        Shape ``[H, W, C]``; None if simplejpeg is not installed or does not accept the file.
    """
    if simplejpeg is None:
        return None
    try:
        pixels: PixelsHWC = simplejpeg.decode_jpeg(content, "GRAY" if in_chans == 1 else "RGB")
    except ValueError:  # four colors, or damaged: others may be more forgiving
        return None
    return pixels


def decode_smaller(
    content: bytes | bytearray, in_chans: int, size_HW: tuple[int, int], divisor: int
) -> PixelsHWC | None:
    """Decode a plain JPEG to a fraction of its height and width, each divided and rounded up.

    Args:
        content: The file's bytes.
        in_chans: 1 for gray, 3 for color.
        size_HW: The whole image's height and width in pixels.
        divisor: One of :data:`DIVISORS`.

    Returns:
        Shape ``[ceil(H / divisor), ceil(W / divisor), C]``; None if the file cannot be decoded in this way.
    """
    mode, expected = "GRAY" if in_chans == 1 else "RGB", tuple(-(-side // divisor) for side in size_HW)
    pixels: PixelsHWC | None = None
    if simplejpeg is not None:
        height, width = expected
        with contextlib.suppress(ValueError):
            pixels = simplejpeg.decode_jpeg(
                content, mode, min_height=height, min_width=width, min_factor=divisor
            )
    if pixels is None:
        with contextlib.suppress(ValueError, OSError, SyntaxError):
            pixels = _draft(content, in_chans, size_HW, divisor)
    return pixels if pixels is not None and pixels.shape[:2] == expected else None


def _draft(content: bytes | bytearray, in_chans: int, size_HW: tuple[int, int], divisor: int) -> PixelsHWC:
    with Image.open(io.BytesIO(content)) as file:
        if file.mode not in ("L", "RGB"):
            raise ValueError("four colors")
        height, width = size_HW
        file.draft("L" if in_chans == 1 else "RGB", (width // divisor, height // divisor))
        pixels = np.array(file.convert("L" if in_chans == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], in_chans)


def is_plain(content: bytes | bytearray) -> bool:
    """Return whether a JPEG is surely gray or of three colors, and upright: has no EXIF orientation, or the plain one.

    Source:
        ITU T.81, B.1.1.4: the segments before the first scan. CIPA DC-008 (Exif 2.3), 4.5.4 and 4.6.4: a TIFF header,
        then the entries of the first directory.
    """
    position, upright, components = 2, True, 0
    while position + 10 <= len(content) and content[position] == _MARKER:
        marker = content[position + 1]
        if marker == _SCAN:
            return upright and components in (1, 3)
        if marker in FRAMES:
            components = content[position + 9]
        elif marker == _APP1 and content.startswith(_EXIF, position + 4):
            upright = upright and _upright(content[position + 4 + len(_EXIF) : position + 2**16])
        position += 2 + max(2, 256 * content[position + 2] + content[position + 3])
    return False


def _upright(tiff: bytes | bytearray) -> bool:
    """Return whether the first directory of a TIFF file holds no orientation but the plain one."""
    if tiff[:2] not in (b"II", b"MM"):
        return False
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(position: int, count: int) -> int:
        return int.from_bytes(tiff[position : position + count], order)

    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        position = directory + 2 + 12 * entry
        if position + 12 > len(tiff):
            return False
        if number(position, 2) == _ORIENTATION:
            return number(position + 2, 2) == _SHORT and number(position + 8, 2) == _UPRIGHT
    return True
