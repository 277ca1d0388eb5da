"""One image whose size is known before its pixels are: a crop is drawn first and only what it needs is decoded.

The crop of ``data.augment imagenet`` is drawn from the size in the file's header; the file is then decoded, cut, scaled
and its colors changed in one pass into its row of a uint8 batch. Evaluation always decodes in full, and so are files
that EXIF turns or that have four colors.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from netaug.data.decode.headers import header_size, refuse_oversized
from netaug.data.decode.image import decode_content, decode_plain_jpeg
from netaug.data.decode.jpeg import DIVISORS, decode_smaller, is_jpeg, is_plain


class Box(NamedTuple):
    """A rectangle of an image, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int


class Picture(Protocol):
    """An image of known size."""

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""

    def crop(self, box: Box, side: int) -> Tensor:
        """Return the pixels of a rectangle, uint8 ``[C, height, width]``.

        It may come scaled down, to ``side`` at least.
        """


class Pixels:
    """An image that is decoded.

    Args:
        image_CHW: uint8, shape ``[C, H, W]``.
    """

    def __init__(self, image_CHW: Tensor) -> None:
        self._image_CHW = image_CHW

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        height, width = self._image_CHW.shape[-2:]
        return height, width

    def crop(self, box: Box, side: int) -> Tensor:
        """Return the pixels of a rectangle, a view of the image; ``side`` changes nothing."""
        del side
        return self._image_CHW[:, box.top : box.top + box.height, box.left : box.left + box.width]


class PlainJpeg:
    """An upright JPEG of one or three colors, decoded when a crop is asked for, scaled down if that is large enough.

    The scale is the smallest of 1/8, 1/4, 1/2, 1 at which the crop's shorter side still has ``side`` pixels, so it is a
    function of the file and the draw alone. At less than 1 the rectangle's edges are rounded to multiples of 8, 4 or 2.

    Args:
        content: The file's bytes.
        path: Its name, for messages.
        in_chans: 1 for gray, 3 for color.
        size_HW: Height and width in pixels.
    """

    def __init__(self, content: bytearray, path: str, in_chans: int, size_HW: tuple[int, int]) -> None:
        self._content, self._path, self._in_chans = content, path, in_chans
        self.size = size_HW

    def crop(self, box: Box, side: int) -> Tensor:
        """Return the pixels of a rectangle, uint8 ``[C, h, w]``.

        Raises :class:`DataError` if the file does not decode.
        """
        for divisor in DIVISORS:
            # At least as many pixels as are needed: the scaled crop is never enlarged afterwards.
            if min(box.height, box.width) // divisor >= side:
                smaller_HWC = decode_smaller(self._content, self._in_chans, self.size, divisor)
                if smaller_HWC is not None:
                    image_CHW = torch.from_numpy(smaller_HWC).permute(2, 0, 1)
                    return Pixels(image_CHW).crop(_divided(box, divisor), side)
        return Pixels(decode_plain_jpeg(self._content, self._path, self._in_chans)).crop(box, side)


def open_picture(content: bytearray, path: str, in_chans: int) -> Picture:
    """Look at an image file's bytes; all but plain JPEGs are decoded at once.

    Args:
        content: The file's bytes.
        path: Its name, for messages.
        in_chans: 1 for gray, 3 for color.

    Raises:
        DataError: It does not decode, or is too large.
    """
    if is_jpeg(content):
        size_HW = header_size(content)
        if size_HW is not None and min(size_HW) > 0 and is_plain(content):
            refuse_oversized(path, size_HW)
            return PlainJpeg(content, path, in_chans, size_HW)
    return Pixels(decode_content(content, path, in_chans))


def _divided(box: Box, divisor: int) -> Box:
    """Return the rectangle in an image whose sides were divided, its edges rounded to whole pixels."""
    half = divisor // 2
    top, left = (box.top + half) // divisor, (box.left + half) // divisor
    bottom, right = (box.top + box.height + half) // divisor, (box.left + box.width + half) // divisor
    return Box(top, left, bottom - top, right - left)
