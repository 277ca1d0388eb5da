"""Decoded images of different sizes in one tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.core.errors import DataError
from netaug.data.decode.image import read_frame
from netaug.data.store import FileImages, decode_each
from netaug.detect.annotations import Annotations, Integers

_CHANS = 3


class HeldImages:
    """Images as pixels, one after the other in one tensor, which loader processes share.

    Args:
        files: Where they come from; names them in messages.
        pixels: uint8, all values of all images: rows, columns, colors.
        starts_N: Where each image starts in ``pixels``.
        sizes_N2: Width and height of each image in pixels.
    """

    def __init__(self, files: FileImages, pixels: Tensor, starts_N: Integers, sizes_N2: Integers) -> None:
        self._files, self._pixels, self._starts_N, self.sizes_N2 = files, pixels, starts_N, sizes_N2

    def __len__(self) -> int:
        return len(self._starts_N)

    @property
    def folder(self) -> str:
        """Return where the files are, for messages."""
        return self._files.folder

    def path(self, index: int) -> str:
        """Return the file that one image comes from."""
        return self._files.path(index)

    def identities(self) -> Sequence[bytes]:
        """Return what the files have for names."""
        return self._files.identities()

    def stored_bytes(self, index: int) -> int:
        """Return the size of the file that one image comes from."""
        return self._files.stored_bytes(index)

    def content(self, index: int) -> bytearray:
        """Return the bytes of the file that one image comes from; raises :class:`DataError` if it cannot be read."""
        return self._files.content(index)

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[3, H, W]``."""
        start, (width, height) = int(self._starts_N[index]), self.sizes_N2[index].tolist()
        values = self._pixels[start : start + width * height * _CHANS]
        return values.view(height, width, _CHANS).permute(2, 0, 1)

    def select(self, indices: Integers) -> HeldImages:
        """Return the images at ``indices``, in that order; the memory stays one."""
        return HeldImages(
            self._files.select(indices), self._pixels, self._starts_N[indices], self.sizes_N2[indices]
        )


def read_checked(images: FileImages | HeldImages, annotations: Annotations, index: int) -> Tensor:
    """Return one image, uint8 ``[3, H, W]``, of the size that its annotation says.

    Raises:
        DataError: It does not decode, or has another size.
    """
    image_CHW = images.read(index)
    if isinstance(images, HeldImages):
        return image_CHW
    height, width = image_CHW.shape[-2:]
    said_width, said_height = annotations.sizes_N2[index].tolist()
    if (width, height) == (said_width, said_height):
        return image_CHW
    fix = "correct the annotation; `--data.on_error skip` leaves it out"
    turn = read_frame(images.path(index))[2]
    if (height, width) == (said_width, said_height):
        fix = "width and height have changed places in the annotation; `--data.on_error skip` leaves the image out"
        if turn > 1:
            fix = "--data.box_orientation upright, or stored, says which picture the boxes were drawn on"
    raise DataError(
        f"the image '{images.path(index)}' does not have the size that its annotation says.",
        got=f"{width} x {height} pixels" + ", turned upright by its EXIF orientation" * (turn > 1),
        allowed=f"{said_width} x {said_height}",
        fix=fix,
    )


def resized(image_CHW: Tensor, height: int, width: int) -> Tensor:
    """Return a uint8 image scaled to a size, antialiased; itself if it has that size."""
    if image_CHW.shape[-2:] == (height, width):
        return image_CHW
    scaled: Tensor = F.interpolate(image_CHW[None], (height, width), mode="bilinear", antialias=True)[0]
    return scaled


def hold(
    images: FileImages, annotations: Annotations, sizes_N2: Integers, on_error: Callable[[DataError], None]
) -> tuple[HeldImages, Integers]:
    """Decode files into memory, in threads, with a progress bar on a terminal.

    Args:
        images: The files.
        annotations: Say how large they are.
        sizes_N2: Width and height that each image is scaled to.
        on_error: Called with what is wrong with a file, which is left out; it may raise.

    Returns:
        The images, and the positions in ``images`` they come from.
    """
    counts = sizes_N2.prod(1) * _CHANS
    starts_N = np.concatenate([[0], np.cumsum(counts)])[:-1].astype(np.int64)
    # Allocated once at its final size: joining decoded images would need twice the memory for a moment.
    held = HeldImages(images, torch.empty(int(counts.sum()), dtype=torch.uint8), starts_N, sizes_N2)

    def place(index: int) -> DataError | None:
        try:
            image_CHW = read_checked(images, annotations, index)
        except DataError as error:
            return error
        width, height = sizes_N2[index].tolist()
        held.read(index).copy_(resized(image_CHW, height, width))
        return None

    errors = list(decode_each(place, len(images), "decoding images"))
    for error in filter(None, errors):
        on_error(error)
    kept = np.array([index for index, error in enumerate(errors) if error is None], np.int64)
    return (held if len(kept) == len(images) else held.select(kept)), kept
