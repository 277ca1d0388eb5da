"""Images of more than 8 bits per channel, integer or floating: which they are, and how they become 8 bits.

A format that defines its white is taken at its word: 65,535 in PNG, the maximal value in PGM. Where it does not, as in
TIFF, white is what the file declares (fewer than 16 bits, a tag MaxSampleValue), else the smallest of 255, 4,095 and
65,535 that holds the file's maximum, else that maximum. Floating-point images that lie within 0..1 have white at 1.
Images with negative values are scaled from their minimum to their maximum.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, PpmImagePlugin

_WHITES = (255, 4095, 65535)
_FULL = 65535
_PNG_DEPTH = 24  # place of the bit depth in the header
_PNG_START = b"\x89PNG"
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_MOST_VALUES = (281, 341)  # MaxSampleValue, SMaxSampleValue
_UNSIGNED, _WHITE_IS_ZERO = 1, 0
_DARKEST = 16  # an 8-bit image without a value from here on looks black
_NEVER_DEEP = (".jpg", ".jpeg", ".gif", ".webp", ".bmp")
_SAMPLED, _DECODED = 1024, 32

_log = logging.getLogger("netaug")

Values = npt.NDArray[Any]


class Content(Protocol):
    """Images whose bytes can be read."""

    def __len__(self) -> int:
        """Return the number of images."""

    def path(self, index: int) -> str:
        """Return the name of one image."""

    def content(self, index: int) -> bytearray:
        """Return the bytes of one image."""


def bits_per_channel(file: Image.Image, start: bytes | bytearray) -> int:
    """Return how many bits a channel of an opened image file has; of floating-point numbers 32.

    Args:
        file: Opened, not necessarily loaded.
        start: The file's first bytes, at least 32.
    """
    if start.startswith(_PNG_START):
        return int(start[_PNG_DEPTH])
    if file.format == "TIFF":
        return max(_numbers(file, _BITS) or (8,))
    if file.mode in ("I", "F"):
        return 16 if file.format == "PPM" else 32
    return 16 if file.mode.startswith("I;16") or _ppm_white(file) > 255 else 8


def upright_eight_bits(file: Image.Image) -> Image.Image:
    """Turn an opened image upright by its EXIF orientation, and scale it to 8 bits per channel if it has more.

    Color of 16 bits arrives in 8 bits already: Pillow keeps the upper ones. It is brightened if it is nearly black
    because its values have fewer bits than the file has room for.

    Raises:
        ValueError: A floating-point image holds no finite value.
    """
    deep = file.mode in ("I", "F") or file.mode.startswith("I;16")
    if not deep:
        dark = _deep_color_is_dark(file)
        image = ImageOps.exif_transpose(file)
        return image.point(lambda value: min(255, value * _DARKEST)) if dark else image
    white, unsigned = _declared_white(file), _numbers(file, _SAMPLE_FORMAT) in ((), (_UNSIGNED,))
    inverted = _numbers(file, _PHOTOMETRIC) == (_WHITE_IS_ZERO,)
    values = np.asarray(ImageOps.exif_transpose(file))
    if file.format == "TIFF" and values.dtype == np.int32 and unsigned:
        values = values.view(
            np.uint32
        )  # Pillow has no unsigned mode of 32 bits: bright values came out negative
    gray_HW = eight_bits(values, white)
    return Image.fromarray(255 - gray_HW if inverted else gray_HW)


def eight_bits(values_HW: Values, white: float | None = None) -> npt.NDArray[np.uint8]:
    """Scale the values of a gray image to 0..255.

    Args:
        values_HW: Integers or floating-point numbers, shape ``[H, W]``; non-finite ones become black.
        white: The value of white as the file says; None if it does not.

    Raises:
        ValueError: No value is finite.
    """
    finite = np.isfinite(values_HW)
    if not finite.any():
        raise ValueError("no finite value in a floating-point image")
    lowest, highest = float(values_HW[finite].min()), float(values_HW[finite].max())
    low = min(0.0, lowest)  # black stays at 0 unless there are negative values: a dim image remains dim
    high = highest if lowest < 0 else _white(values_HW.dtype, highest, white)
    if low == 0 and high == _FULL and values_HW.dtype.kind in "iu":
        return (values_HW.astype(np.int64) >> 8).astype(np.uint8)  # as Pillow does with 16 bits of color
    scaled = (np.where(finite, values_HW, low).astype(np.float64) - low) * (255 / max(high - low, 1e-300))
    return np.rint(scaled).astype(np.uint8)


def warn_of_deep(splits: Sequence[Content]) -> None:
    """Warn once how many images have more than 8 bits per channel, looking at up to 1,024 of each split."""
    seen, total, black, deep = 0, sum(map(len, splits)), 0, list[str]()
    for images in splits:
        sampled = np.linspace(0, max(0, len(images) - 1), min(len(images), _SAMPLED)).astype(int).tolist()
        seen += len(sampled)
        deep_here = [index for index in sampled if _is_deep(images, index)]
        black += sum(
            _looks_black(images, index) for index in deep_here[:_DECODED]
        )  # decoding all would take long
        deep += [images.path(index) for index in deep_here]
    if not deep:
        return
    _log.warning(
        "%d of %d%s images have more than 8 bits per channel; they are scaled to 8 bits (docs/datasets.md says how), "
        "first: '%s'.",
        len(deep),
        seen,
        f" sampled (of {total:,})" if seen < total else "",
        deep[0],
    )
    if black:
        _log.warning(
            "%d of them look black: their format says what white is, and their values stay below a sixteenth of it. "
            " If they hold fewer bits than the files have room for, write them again with the full range.",
            black,
        )


def is_deep(content: bytes | bytearray) -> bool:
    """Return whether the bytes are an image of more than 8 bits per channel."""
    if content[:2] == b"\xff\xd8":
        return False
    try:
        with Image.open(io.BytesIO(content)) as file:
            return bits_per_channel(file, content[:32]) > 8
    except Exception:  # of a damaged file; decoding says what is wrong
        return False


def _is_deep(images: Content, index: int) -> bool:
    if os.path.splitext(images.path(index))[1].lower() in _NEVER_DEEP:
        return False
    try:
        return is_deep(images.content(index))
    except Exception:  # of a missing file; reading it for training says so
        return False


def _looks_black(images: Content, index: int) -> bool:
    try:
        with Image.open(io.BytesIO(images.content(index))) as file:
            return bool(np.asarray(upright_eight_bits(file)).max() < _DARKEST)
    except Exception:  # of a damaged file; decoding says what is wrong
        return False


def _white(dtype: np.dtype[Any], highest: float, declared: float | None) -> float:
    if declared is not None and highest <= declared:
        return declared
    if dtype.kind == "f" and highest <= 1:
        return 1.0 if highest * 255 >= _DARKEST else highest
    return next((white for white in _WHITES if highest <= white), highest)


def _declared_white(file: Image.Image) -> float | None:
    """Return what a file or its format says that white is."""
    if file.format == "PNG" or (file.format == "PPM" and file.mode != "F"):  # Pillow scales PGM to 16 bits
        return _FULL
    for tag in _MOST_VALUES:
        if values := _numbers(file, tag):
            return float(max(values))
    bits = max(_numbers(file, _BITS) or (0,))
    return float(2**bits - 1) if 8 < bits < 16 else None


def _deep_color_is_dark(file: Image.Image) -> bool:
    """Return whether color, cut to its upper 8 bits, uses only the lower 4 of them, in a format without a white."""
    if file.format != "TIFF" or max(_numbers(file, _BITS) or (8,)) <= 8 or file.mode not in ("RGB", "CMYK"):
        return False
    return 0 < max(high for _, high in file.getextrema()) < _DARKEST  # type: ignore[misc]


def _ppm_white(file: Image.Image) -> int:
    """Return the maximal value of a PPM in color as its header says; 255 of other files."""
    if not isinstance(file, PpmImagePlugin.PpmImageFile) or not file.tile:
        return 255
    arguments = file.tile[0].args
    return int(arguments[1]) if isinstance(arguments, tuple) and len(arguments) == 2 else 255


def _numbers(file: Image.Image, tag: int) -> tuple[int, ...]:
    """Return the values of a TIFF's tag; none of other files."""
    values = getattr(file, "tag_v2", {}).get(tag, ())
    return tuple(values) if isinstance(values, tuple) else (values,)
