"""Examines one image: whether it decodes, is complete, and of what kind its file is."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import ExifTags, Image
from torch import Tensor

from netaug.core.errors import DataError
from netaug.data.decode.deep_images import bits_per_channel
from netaug.data.decode.headers import OversizedImageError, header_size, refuse_oversized
from netaug.data.decode.image import decode_content
from netaug.data.readers.packed.images import PackedImages
from netaug.data.store import Images, MemoryImages, StoredImages

_JPEG_START = b"\xff\xd8"
_JPEG_END, _SCAN = b"\xff\xd9", b"\xff\xda"
_MANY_BITS = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_GREY = {"1", "L", "LA", "La"}
_WHOLE_SIDE, _STEP = 64, 4


@dataclass(frozen=True)
class Look:
    """Holds what was found in one image.

    Args:
        kinds: Names in :data:`netaug.datacheck.report.KINDS`.
        detail: The reason, in a line.
        digest: Number that equal decoded images share, and different ones hardly; None if it does not decode.
    """

    kinds: tuple[str, ...] = ()
    detail: str = ""
    digest: int | None = None


def look(images: Images, index: int) -> Look:
    """Read and decode one image of a split."""
    if isinstance(images, MemoryImages):
        return Look(digest=digest(images.read(index)))
    try:
        if isinstance(images, PackedImages):
            if not images.is_intact(index):
                return Look(("damaged",), "its bytes have another checksum")
            if images.are_pixels:
                return Look(digest=digest(images.read(index)))
        content = images.content(index)
    except DataError as error:
        return Look(("unreadable",), error.where if error.got is None else str(error.got))
    return _look_at_file(images, index, content)


def _look_at_file(images: StoredImages, index: int, content: bytearray) -> Look:
    path, cut = images.path(index), is_cut_off(content)
    forms = file_forms(content, path, images.in_chans)
    try:
        pixels_CHW = decode_content(content, path, images.in_chans)
    except OversizedImageError as error:
        return Look(("oversized",), str(error.got))
    except DataError as error:
        reason = str(error.got)
        if reason.startswith(("not the content", "an empty file")):
            return Look(("not_image",), reason)
        return Look(("truncated" if cut or "truncated" in reason else "corrupt", *forms), reason)
    if cut:
        return Look(("truncated", *forms), "a JPEG without its end, which decodes", digest(pixels_CHW))
    return Look(forms, digest=digest(pixels_CHW))


def is_cut_off(content: bytes | bytearray) -> bool:
    """Return whether a file is a JPEG whose image data is not followed by the marker that ends it.

    Decoders fill what is missing with grey, some without an error. The end of a thumbnail lies before the image data.
    """
    if not content.startswith(_JPEG_START):
        return False
    return content.rfind(_JPEG_END) < _image_data(content)


def _image_data(content: bytes | bytearray) -> int:
    """Return where the first scan begins, past segments that may hold other images; the end if there is none."""
    offset = 2
    while offset + 4 <= len(content):
        if content[offset] != 0xFF:
            offset += 1
        elif content[offset : offset + 2] == _SCAN:
            return offset
        elif content[offset + 1] in (0x00, 0x01, 0xFF) or 0xD0 <= content[offset + 1] <= 0xD9:
            offset += 1 if content[offset + 1] == 0xFF else 2
        else:
            offset += 2 + max(2, int.from_bytes(content[offset + 2 : offset + 4], "big"))
    return len(content)


def file_forms(content: bytes | bytearray, path: str, in_chans: int) -> tuple[str, ...]:
    """Return which of ``cmyk``, ``sixteen_bit``, ``grey`` and ``rotated`` a file is, from its header.

    Args:
        content: The file.
        path: Its name.
        in_chans: Channels it is converted to; a grey image is only worth a word where color is wanted.
    """
    try:
        size_HW = header_size(content)
        if size_HW is not None:
            refuse_oversized(path, size_HW)
        with Image.open(io.BytesIO(content)) as file:
            mode, turned = file.mode, _is_turned(file)
            deep = bits_per_channel(file, content[:32]) > 8
    except Exception:  # of a damaged header; decoding says what is wrong
        return ()
    forms = {
        "cmyk": mode == "CMYK",
        "sixteen_bit": deep,
        "grey": in_chans == 3 and (mode in _GREY or mode in _MANY_BITS),
        "rotated": turned,
    }
    return tuple(name for name, holds in forms.items() if holds)


def _is_turned(file: Image.Image) -> bool:
    return file.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)


def digest(pixels_CHW: Tensor) -> int:
    """Return a 64-bit digest of an image's shape and pixels; of large images every 4th row and column."""
    step = _STEP if min(pixels_CHW.shape[1:]) > _WHOLE_SIDE else 1
    part_HWC = pixels_CHW[:, ::step, ::step].permute(1, 2, 0).contiguous().numpy()
    hashed = hashlib.blake2b(part_HWC.data, digest_size=8, key=repr(tuple(pixels_CHW.shape)).encode())
    return int.from_bytes(hashed.digest(), "little")
