"""The images of a packed dataset: slices of one memory-mapped file."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.core.errors import DataError
from netaug.data.decode.image import decode_content
from netaug.data.decode.picture import Box
from netaug.data.readers.packed.layout import INDEX, PAYLOADS, Index, damaged

Indices = npt.NDArray[np.int64]


class PackedImages:
    """Images in one file, decoded at each access, or copied out where they are pixels.

    The files are mapped when first used, by each process; their memory is the system's page cache, which all
    processes share.

    Args:
        folder: Holds the index and the payloads, both checked.
        rows_N: Rows of the index, int64 ``[N]``.
        in_chans: Channels that images are converted to: 1 or 3.
        are_pixels: Whether payloads are uint8 ``[H, W, C]``; else they are image files.
    """

    def __init__(self, folder: str, rows_N: Indices, in_chans: int, *, are_pixels: bool) -> None:
        self.folder, self.in_chans, self.are_pixels = folder, in_chans, are_pixels
        self.rows_N = rows_N
        self._maps: tuple[Index, npt.NDArray[np.uint8]] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": None}  # else pickling for a worker would copy the mapped files

    def __len__(self) -> int:
        return len(self.rows_N)

    def path(self, index: int) -> str:
        """Return the packed folder and the image's name in it, for messages."""
        return os.path.join(self.folder, os.fsdecode(bytes(self._row(index)["name"])))

    def identities(self) -> Sequence[bytes]:
        """Return the name and the checksum of each image."""
        rows = self._open()[0][self.rows_N]
        pairs = zip(rows["name"].tolist(), rows["crc32"].tolist(), strict=True)
        return [b"%b %08x" % pair for pair in pairs]

    def stored_bytes(self, index: int) -> int:
        """Return the size of one payload."""
        return int(self._row(index)["length"])

    def content(self, index: int) -> bytearray:
        """Return the bytes of one payload; raises :class:`DataError` if they are not there."""
        return bytearray(self._payload(index))

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[C, H, W]``; raises :class:`DataError` naming it if it does not decode."""
        if self.are_pixels:
            height, width = self.size(index)
            return self.crop(index, 0, 0, height, width)
        return decode_content(self.content(index), self.path(index), self.in_chans)

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> Tensor:
        """Return a part of an image that is stored as pixels, uint8 ``[C, height, width]``; nothing else is read."""
        assert self.are_pixels, "other payloads have to be decoded"
        pixels_HWC = self._payload(index).reshape(*self.size(index), self.in_chans)
        part_HWC = pixels_HWC[top : top + height, left : left + width].copy()
        return torch.from_numpy(part_HWC).permute(2, 0, 1)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels of one image, from the index."""
        row = self._row(index)
        return int(row["height"]), int(row["width"])

    def select(self, indices: Indices) -> PackedImages:
        """Return the images at ``indices``, in that order."""
        return PackedImages(self.folder, self.rows_N[indices], self.in_chans, are_pixels=self.are_pixels)

    def is_intact(self, index: int) -> bool:
        """Return whether the payload has the checksum it was written with."""
        return zlib.crc32(self._payload(index).data) == int(self._row(index)["crc32"])

    def _row(self, index: int) -> np.void:
        row: np.void = self._open()[0][self.rows_N[index]]
        return row

    def _payload(self, index: int) -> npt.NDArray[np.uint8]:
        row = self._row(index)
        offset, length = int(row["offset"]), int(row["length"])
        payload = self._open()[1][offset : offset + length]
        if len(payload) != length:
            raise damaged(self.folder, f"'{self.path(index)}' reaches beyond the end of {PAYLOADS}")
        return payload

    def _open(self) -> tuple[Index, npt.NDArray[np.uint8]]:
        if self._maps is None:
            folder = Path(self.folder)
            try:
                index: Index = np.lib.format.open_memmap(folder / INDEX, mode="r")
                payloads = np.memmap(folder / PAYLOADS, np.uint8, "r")
            except (OSError, ValueError) as error:
                raise DataError(f"the packed dataset '{folder}' cannot be read.", got=error) from None
            self._maps = index.view(np.ndarray), payloads.view(np.ndarray)
        return self._maps


class PackedPicture:
    """One image that is stored as pixels; of a crop's rows nothing else is read.

    Args:
        images: Stored as pixels.
        index: Which of them.
    """

    def __init__(self, images: PackedImages, index: int) -> None:
        self._images, self._index = images, index

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self._images.size(self._index)

    def crop(self, box: Box, side: int) -> Tensor:
        """Return the pixels of a rectangle, uint8 ``[C, height, width]``; ``side`` changes nothing."""
        del side
        return self._images.crop(self._index, *box)
