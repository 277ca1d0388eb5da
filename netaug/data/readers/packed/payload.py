"""What becomes of one image when it is packed."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from netaug.core.errors import ConfigError
from netaug.data.readers.packed.images import PackedImages
from netaug.data.readers.packed.layout import Encoding
from netaug.data.store import Images, MemoryImages

DEFAULT_SIZE, DEFAULT_QUALITY = 256, 90

_JPEG_START = b"\xff\xd8"


@dataclass(frozen=True)
class Packing:
    """What becomes of each image.

    Args:
        encoding: ``jpeg``, ``pixels`` or ``original``.
        size: Longest that the shorter side may be in pixels: larger images are scaled down to it, antialiased; smaller
            ones stay. None scales nothing.
        quality: JPEG quality, 1..100; None unless ``encoding`` is ``jpeg``.
    """

    encoding: Encoding
    size: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and (self.size < 1 or self.encoding == "original"):
            fits = "none for --encoding original, which keeps the files as they are"
            allowed = fits if self.encoding == "original" else "a number of pixels, at least 1"
            raise ConfigError("--size cannot be used.", got=self.size, allowed=allowed)
        if (self.quality is None) == (self.encoding == "jpeg") or not 1 <= (self.quality or 1) <= 100:
            allowed = "1 to 100" if self.encoding == "jpeg" else f"none for --encoding {self.encoding}"
            raise ConfigError("--quality cannot be used.", got=self.quality, allowed=allowed)

    def keeps_size(self, side: int | None) -> bool:
        """Return whether images of this side stay as large as they are."""
        return self.size is None or (side is not None and side <= self.size)


def choose(images: Images, encoding: Encoding | None, size: int | None, quality: int | None) -> Packing:
    """Return what becomes of the images, where something is left open.

    Images that are pixels already stay pixels; others become JPEG. Sizes are limited to :data:`DEFAULT_SIZE`, but not
    where images live decoded in memory.

    Raises:
        ConfigError: Size or quality do not fit the encoding, or there are no original files.
    """
    chosen: Encoding = encoding or ("pixels" if _are_pixels(images) else "jpeg")
    if chosen == "original" and _are_pixels(images):
        raise ConfigError(
            "--encoding original cannot be used: the dataset has no image files.",
            got="images that are pixels",
            allowed="pixels, which lose nothing either, or jpeg",
            fix="--encoding pixels",
        )
    if chosen == "jpeg" and quality is None:
        quality = DEFAULT_QUALITY
    if size is None and chosen != "original" and not isinstance(images, MemoryImages):
        size = DEFAULT_SIZE
    return Packing(chosen, size, quality)


def _are_pixels(images: Images) -> bool:
    return isinstance(images, MemoryImages) or (isinstance(images, PackedImages) and images.are_pixels)


@dataclass(frozen=True)
class Payload:
    """One image as it is stored.

    Args:
        content: Its bytes.
        height: Pixels, as the header says where it is a file.
        width: Same.
        name: Its name, with the split in front.
        offset: Where it begins in the file of payloads, in bytes.
        length: How many bytes it has.
        crc32: Checksum of the bytes.
    """

    content: bytes
    height: int
    width: int
    name: str
    offset: int = 0
    length: int = 0
    crc32: int = 0

    def placed(self, offset: int, crc32: int) -> Payload:
        """Return the same without its bytes, which are written."""
        return replace(self, content=b"", offset=offset, length=len(self.content), crc32=crc32)


def encode(images: Images, index: int, split: str, how: Packing) -> Payload:
    """Read one image and bring it into the form in which it is stored.

    Args:
        images: The images of a split.
        index: Which of them.
        split: The split's name.
        how: What becomes of it.

    Raises:
        DataError: It does not decode.
    """
    if isinstance(images, MemoryImages):
        return _from_pixels(images.read(index), f"{split}/{index}", how)
    path = images.path(index)
    name = f"{split}/{os.path.relpath(path, images.folder) if path.startswith(images.folder) else path}"
    image_CHW = images.read(index)  # also to know that it decodes, where its bytes are kept
    # A JPEG that is small enough keeps its bytes: encoding it again would only lose quality.
    stays = how.encoding == "jpeg" and how.keeps_size(min(image_CHW.shape[1:]))
    if how.encoding == "original" or (stays and not _are_pixels(images)):
        content = images.content(index)
        if how.encoding == "original" or content.startswith(_JPEG_START):
            height, width = images.size(index)
            return Payload(bytes(content), height, width, name)
    return _from_pixels(image_CHW, name, how)


def _from_pixels(image_CHW: Tensor, name: str, how: Packing) -> Payload:
    if how.size is not None and min(image_CHW.shape[1:]) > how.size:
        from torchvision.transforms.v2 import functional  # on first use: slow to import

        image_CHW = functional.resize(image_CHW, [how.size], antialias=True)
    pixels_HWC = image_CHW.permute(1, 2, 0).contiguous().numpy()
    height, width, chans = pixels_HWC.shape
    if how.encoding == "pixels":
        return Payload(pixels_HWC.tobytes(), height, width, name)
    file = io.BytesIO()
    Image.fromarray(pixels_HWC if chans == 3 else pixels_HWC[:, :, 0]).save(file, "JPEG", quality=how.quality)
    return Payload(file.getvalue(), height, width, name)
