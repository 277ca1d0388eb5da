"""Where images live: one uint8 tensor in memory, or files that are decoded when asked for.

A batch is named by (epoch, positions in the split), so every kind of source offers its images by position: files,
members of tar shards, rows of a Hugging Face dataset, slices of a packed file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.core.errors import DataError
from netaug.core.parallel import default_jobs, in_threads
from netaug.data.decode.image import decode_file, read_content, read_size
from netaug.data.listing_digest import below_common_folder
from netaug.data.transforms.small import Fit

Indices = npt.NDArray[np.int64]

_CHUNK = 64
_RESIZE_CHUNK = 1024
_MAX_THREADS = 8

Result = TypeVar("Result")


class StoredImages(Protocol):
    """Images that are somewhere else and decoded at each access: files, or members of larger files.

    A worker process gets a copy, so what it holds is arrays and numbers, and open files are opened when first used.
    """

    @property
    def folder(self) -> str:
        """Return where they are, for messages."""

    @property
    def in_chans(self) -> int:
        """Return the channels they are converted to: 1 or 3."""

    def __len__(self) -> int:
        """Return the number of images."""

    def path(self, index: int) -> str:
        """Return the name of one image, for messages."""

    def identities(self) -> Sequence[bytes]:
        """Return what names each image wherever the dataset lies; see :mod:`netaug.data.listing_digest`."""

    def stored_bytes(self, index: int) -> int:
        """Return the size of one image as it is stored; -1 if that is unknown without reading it, or it is missing."""

    def content(self, index: int) -> bytearray:
        """Return the bytes of one image as they are stored; raises :class:`DataError` if they cannot be read."""

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[C, H, W]``; raises :class:`DataError` naming it if it does not decode."""

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels of one image, without decoding it; raises :class:`DataError`."""

    def select(self, indices: Indices) -> StoredImages:
        """Return the images at ``indices``, in that order."""


class MemoryImages:
    """Images of one size, decoded.

    Args:
        pixels_NCHW: uint8, shape ``[N, C, H, W]``.
    """

    def __init__(self, pixels_NCHW: Tensor) -> None:
        self.pixels_NCHW = pixels_NCHW

    @property
    def in_chans(self) -> int:
        """Return the channels: 1 gray, 3 color."""
        return self.pixels_NCHW.shape[1]

    def __len__(self) -> int:
        return len(self.pixels_NCHW)

    def identities(self) -> Sequence[bytes]:
        """Return nothing: images in memory have no names."""
        return ()

    def stored_bytes(self, index: int) -> int:
        """Return the number of values of one image."""
        return self.pixels_NCHW[index].numel()

    def content(self, index: int) -> bytes:
        """Return the pixels of one image, channel by channel."""
        return self.pixels_NCHW[index].contiguous().numpy().tobytes()

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[C, H, W]``."""
        return self.pixels_NCHW[index]

    def select(self, indices: Indices) -> MemoryImages:
        """Return the images at ``indices``, in that order."""
        return MemoryImages(self.pixels_NCHW[torch.from_numpy(indices)])

    def fitted(self, size: int) -> MemoryImages:
        """Return the images scaled to ``size`` x ``size`` pixels, antialiased."""
        if tuple(self.pixels_NCHW.shape[-2:]) == (size, size):
            return self
        # In chunks, so that what resizing needs besides the pixels stays small.
        fit, starts = Fit(size), range(0, len(self), _RESIZE_CHUNK)
        chunks = [fit(self.pixels_NCHW[start : start + _RESIZE_CHUNK]) for start in starts]
        return MemoryImages(torch.cat(chunks))


class FileImages:
    """Images as files, decoded at each access.

    The names are one array of bytes: a list of strings would be copied, page by page, into each worker.

    Args:
        folder: Folder that the names are relative to.
        names: File names in order.
        in_chans: Channels that the files are converted to: 1 or 3.
    """

    def __init__(self, folder: str, names: Sequence[str] | npt.NDArray[np.bytes_], in_chans: int) -> None:
        self.folder, self.in_chans = folder, in_chans
        self._names = (
            names if isinstance(names, np.ndarray) else np.array([os.fsencode(n) for n in names], np.bytes_)
        )

    def __len__(self) -> int:
        return len(self._names)

    def path(self, index: int) -> str:
        """Return the file of one image."""
        return os.path.join(self.folder, os.fsdecode(bytes(self._names[index])))

    def identities(self) -> Sequence[bytes]:
        """Return the names below the deepest folder that holds all files."""
        return below_common_folder(self._names.tolist())

    def stored_bytes(self, index: int) -> int:
        """Return the size of one file; -1 if it is missing."""
        try:
            return os.stat(self.path(index)).st_size
        except OSError:
            return -1

    def content(self, index: int) -> bytearray:
        """Return the bytes of one file; raises :class:`DataError` if it cannot be read."""
        return read_content(self.path(index))

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[C, H, W]``; raises :class:`DataError` naming the file if it does not decode."""
        return decode_file(self.path(index), self.in_chans)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels of one image, from its header."""
        return read_size(self.path(index))

    def select(self, indices: Indices) -> FileImages:
        """Return the images at ``indices``, in that order."""
        return FileImages(self.folder, self._names[indices], self.in_chans)


Images = MemoryImages | StoredImages


def common_side(images: StoredImages, *, skip_errors: bool) -> int | None:
    """Return the side in pixels that all images share; None when they differ or are not square.

    Raises:
        DataError: A file is not an image, unless ``skip_errors``.
    """

    def side(index: int) -> int | None:
        try:
            height, width = images.size(index)
        except DataError:
            if skip_errors:
                return None
            raise
        return height if height == width else -1  # ends the search as a second side does

    sides: set[int] = set()
    for value in decode_each(side, len(images), "reading image sizes"):
        if value is not None:
            sides.add(value)
        if len(sides) > 1 or -1 in sides:
            return None
    return sides.pop() if sides else None


def decode_all(
    images: StoredImages, fit: Fit, *, skip_errors: bool
) -> tuple[MemoryImages, Indices, list[str]]:
    """Decode files into one tensor, in threads, with a progress bar on a terminal.

    Args:
        images: The files.
        fit: Brings each image to the common size.
        skip_errors: Leave files out that do not decode.

    Returns:
        The images, the positions in ``images`` they come from, and the files left out.

    Raises:
        DataError: A file does not decode, unless ``skip_errors``.
    """
    # One allocation at its final size: joining decoded images would need twice the memory for a moment.
    pixels_NCHW = torch.empty((len(images), images.in_chans, fit.size, fit.size), dtype=torch.uint8)

    def decode(index: int) -> bool:
        try:
            pixels_NCHW[index] = fit(images.read(index))
        except DataError:
            if skip_errors:
                return False
            raise
        return True

    decoded = np.fromiter(decode_each(decode, len(images), "decoding images"), bool, len(images))
    kept = np.flatnonzero(decoded)
    memory = MemoryImages(pixels_NCHW)
    if len(kept) < len(images):
        memory = memory.select(kept)
    return memory, kept, [images.path(int(index)) for index in np.flatnonzero(~decoded)]


def decode_each(work: Callable[[int], Result], count: int, title: str) -> Iterator[Result]:
    """Run ``work`` on 0..count-1 in threads; yield results in order, the first error ends it."""
    # Threads: decoders release the interpreter lock, and pixels need not travel between processes.
    return in_threads(work, count, title, min(_MAX_THREADS, default_jobs()), chunk=_CHUNK)
