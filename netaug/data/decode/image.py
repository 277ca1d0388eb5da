"""Image files into uint8 tensors: JPEG through simplejpeg or torchvision, all else through Pillow.

PNG is not left to torchvision: its decoder ends the process with a segmentation fault where the data in the file is
damaged (seen with 0.29.1), and a dataset's file is not to be trusted so far.
"""

from __future__ import annotations

import functools
import io
import os
import struct
from collections.abc import Callable
from typing import BinaryIO, Protocol

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from netaug.core.errors import DataError
from netaug.core.regular_files import link_target, open_regular, read_regular
from netaug.data.decode.deep_images import upright_eight_bits
from netaug.data.decode.headers import header_size, oversized, refuse_oversized
from netaug.data.decode.jpeg import decode_whole, is_jpeg, is_plain
from netaug.data.transforms.small import Fit

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})

_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error)
_HEADER_BYTES = 2**18
_TURNING = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_OTHERS = {
    b"ii*\0": "a TIFF file of a kind that is not supported, such as floating-point color",
    b"mm\0*": "a TIFF file of a kind that is not supported, such as floating-point color",
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file, such as an SVG drawing",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the files with `git lfs pull`",
    b"%pdf": "a PDF file",
    b"pk\x03\x04": "a ZIP archive",
}
_PILLOW_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class InputFormat(Protocol):
    """What a network's input looks like; :class:`netaug.data.batch.DataInfo` is one."""

    @property
    def in_chans(self) -> int:
        """Return the image channels: 1 gray, 3 color."""

    @property
    def image_size(self) -> int:
        """Return height = width in pixels."""

    @property
    def crop_ratio(self) -> float:
        """Return the fraction of the resized image that the center crop keeps, in (0, 1]."""


def load_image(path: str | os.PathLike[str], info_like: InputFormat) -> Tensor:
    """Read one image file the way the evaluation split is read.

    Args:
        path: The image file.
        info_like: The network's input: ``in_chans``, ``image_size`` in pixels, ``crop_ratio``.

    Returns:
        uint8 pixels, shape ``[1, C, H, W]``; a color file becomes gray when C is 1.

    Raises:
        DataError: The file is missing or does not decode, or ``in_chans`` is neither 1 nor 3.
    """
    image_CHW = decode_file(os.fspath(path), info_like.in_chans)
    return Fit(info_like.image_size, info_like.crop_ratio)(image_CHW)[None]


def decode_file(path: str, in_chans: int) -> Tensor:
    """Decode one image file, turned upright by its EXIF orientation.

    Args:
        path: The image file.
        in_chans: 1 for gray, 3 for color; the file is converted to it.

    Returns:
        uint8 pixels, shape ``[C, H, W]``.

    Raises:
        DataError: The file is missing, or as :func:`decode_content`.
    """
    _check_channels(path, in_chans)
    return decode_content(read_content(path), path, in_chans)


def decode_content(content: bytearray, path: str, in_chans: int) -> Tensor:
    """Decode the bytes of one image, turned upright by its EXIF orientation.

    Args:
        content: An image file's bytes.
        path: Its name, for messages.
        in_chans: 1 for gray, 3 for color; the image is converted to it.

    Returns:
        uint8 pixels, shape ``[C, H, W]``.

    Raises:
        DataError: It does not decode, or ``in_chans`` is neither 1 nor 3; an :class:`OversizedImageError` if its
            header says that it has more than ``headers.MAX_PIXELS`` pixels.
    """
    _check_channels(path, in_chans)
    size_HW = header_size(content)
    if size_HW is not None:
        refuse_oversized(path, size_HW)
    if is_jpeg(content) and is_plain(content):
        return decode_plain_jpeg(content, path, in_chans)
    return _decode_any(content, path, in_chans, fast=size_HW is not None and is_jpeg(content))


def decode_plain_jpeg(content: bytearray, path: str, in_chans: int) -> Tensor:
    """Decode a plain JPEG of a size that was checked; else as :func:`decode_content`."""
    pixels_HWC = decode_whole(content, in_chans)
    if pixels_HWC is not None:
        return torch.from_numpy(pixels_HWC).permute(2, 0, 1)
    return _decode_any(content, path, in_chans, fast=True)


def _decode_any(content: bytearray, path: str, in_chans: int, *, fast: bool) -> Tensor:
    """Decode with torchvision if the file is of a kind that it knows (``fast``), else with Pillow."""
    decode_image = torchvision_decoder() if fast else None
    if decode_image is not None:
        mode = "GRAY" if in_chans == 1 else "RGB"
        try:
            image: Tensor = decode_image(torch.frombuffer(content, dtype=torch.uint8), mode, True)
        except RuntimeError:
            pass  # a kind of JPEG that torchvision lacks; a damaged one fails below as well
        else:
            return image
    return _decode_with_pillow(path, content, in_chans)


@functools.cache
def torchvision_decoder() -> Callable[..., Tensor] | None:
    """Return torchvision's decoder; None where it has none: deprecated since 0.29, and Pillow gives the same pixels."""
    try:
        from torchvision.io import decode_image  # on first use: slow to import
    except ImportError:
        return None
    return decode_image  # type: ignore[no-any-return]


def _check_channels(path: str, in_chans: int) -> None:
    if in_chans not in (1, 3):
        raise DataError(
            f"'{path}' cannot be read with {in_chans} channels.",
            got=in_chans,
            allowed="1 (gray) or 3 (color)",
        )


def read_size(path: str) -> tuple[int, int]:
    """Read height and width in pixels from a file's header as it is decoded, upright.

    Raises:
        DataError: The file is missing, or not an image.
    """
    return read_frame(path)[:2]


def read_frame(path: str) -> tuple[int, int, int]:
    """Read height and width in pixels of the upright image, and EXIF's number of how the stored one is turned.

    Raises:
        DataError: The file is missing, or not an image.
    """
    try:
        with io.BufferedReader(open_regular(path)) as file:
            return _frame(file, path, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise _unreadable(path, error) from None


def content_size(content: bytearray, path: str) -> tuple[int, int]:
    """Return height and width in pixels from the header in an image file's bytes; ``path`` is its name, for messages.

    Raises:
        DataError: They are not an image.
    """
    return _frame(io.BytesIO(content), path, len(content))[:2]


def _frame(file: BinaryIO, path: str, count: int) -> tuple[int, int, int]:
    """Return height, width and orientation of the image in a file of ``count`` bytes."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            turn = _orientation(image)
            if turn >= 5 and image.format != "TIFF":  # Pillow gives the upright size of TIFF alone
                width, height = height, width
    except _PILLOW_BOMBS as error:
        file.seek(0)
        size_HW = header_size(file.read(_HEADER_BYTES))
        if size_HW is not None:
            refuse_oversized(path, size_HW)
        raise oversized(path, str(error)) from None
    except _PILLOW_ERRORS as error:
        file.seek(0)
        raise _undecodable(path, error, count, file.read(64)) from None
    refuse_oversized(path, (height, width))
    return height, width, turn


def _orientation(image: Image.Image) -> int:
    """Return EXIF's number of how an opened image is turned, 1 if it is upright, as decoding takes it."""
    if image.format in ("JPEG", "MPO"):  # their decoders know EXIF alone, Pillow also XMP
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
    elif image.format == "TIFF" or not _TURNING.isdisjoint(image.info):
        exif = image.getexif()
    else:
        return 1  # asking Pillow would decode a whole PNG
    turn = exif.get(ExifTags.Base.Orientation, 1)
    return turn if turn in range(1, 9) else 1


def read_content(path: str) -> bytearray:
    """Return the bytes of a file; raises :class:`DataError` if it is missing or cannot be read."""
    try:
        with open_regular(path) as file:
            content = bytearray(os.fstat(file.fileno()).st_size)
            return content if file.readinto(content) == len(content) else bytearray(read_regular(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> DataError:
    """Return the error for a file that the system does not give, which says nothing about its content."""
    if not isinstance(error, FileNotFoundError):
        return DataError(
            f"the image file '{path}' cannot be read.",
            got=error.strerror,
            allowed="a regular file that this user may read",
        )
    target = link_target(path)
    return DataError(
        f"there is no image file '{path}'.",
        got=None if target is None else f"a link that leads nowhere, to '{target}'",
        fix="check the path; it is taken from the current folder, or from the folder of the list that names it",
    )


def _decode_with_pillow(path: str, content: bytearray, in_chans: int) -> Tensor:
    try:
        with Image.open(io.BytesIO(content)) as file:
            refuse_oversized(path, (file.height, file.width))
            image = upright_eight_bits(file).convert("L" if in_chans == 1 else "RGB")
    except _PILLOW_BOMBS as error:
        raise oversized(path, str(error)) from None
    except _PILLOW_ERRORS as error:
        raise _undecodable(path, error, len(content), bytes(content[:64])) from None
    pixels = np.array(image).reshape(image.height, image.width, in_chans)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _what_else(start: bytes) -> str:
    """Return what a file is instead, after a colon; of a TIFF that Pillow does not know, that."""
    kind = next((text for magic, text in _OTHERS.items() if start.lstrip().lower().startswith(magic)), None)
    if kind is None and start[4:8] == b"ftyp":
        kind = f"a HEIF, AVIF or video file ({start[8:12].decode('ascii', 'replace')!r})"
    return "" if kind is None else f": {kind}"


def _undecodable(path: str, error: Exception, count: int, start: bytes = b"") -> DataError:
    if isinstance(error, UnidentifiedImageError):  # its own text holds a memory address
        reason = "an empty file" if count == 0 else f"not the content of an image file{_what_else(start)}"
    else:
        reason = str(error)
    return DataError(
        f"the image '{path}' does not decode.",
        got=reason,
        allowed="a whole JPEG, PNG, BMP, WebP, GIF, TIFF or PPM file",
        fix="repair or delete the file; `--data.on_error skip` leaves such files of a dataset out",
    )
