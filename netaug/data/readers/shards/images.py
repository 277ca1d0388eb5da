"""Images as members of tar shards, read at random by their place in the file."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from netaug.core.errors import DataError
from netaug.data.decode.image import content_size, decode_content
from netaug.data.readers.shards.index import ShardIndex
from netaug.data.store import Indices


class ShardImages:
    """Images inside of shards, decoded at each access.

    A shard is opened for each read: that takes a hundredth of the time of decoding, and nothing has to be handed to
    worker processes or kept below the system's limit of open files.

    Args:
        shards: Paths of the shards.
        shards_N: int32, each image's shard.
        keys_N: Names of the members, UTF-8.
        offsets_N: int64, each image's first byte in its shard.
        sizes_N: int64, each image's bytes.
        in_chans: Channels that the images are converted to: 1 or 3.
    """

    def __init__(
        self,
        shards: npt.NDArray[np.bytes_],
        shards_N: npt.NDArray[np.int32],
        keys_N: npt.NDArray[np.bytes_],
        offsets_N: npt.NDArray[np.int64],
        sizes_N: npt.NDArray[np.int64],
        in_chans: int,
    ) -> None:
        self._shards, self._shards_N, self._keys_N = shards, shards_N, keys_N
        self._offsets_N, self._sizes_N, self.in_chans = offsets_N, sizes_N, in_chans

    @property
    def folder(self) -> str:
        """Return where the shards are."""
        return os.path.dirname(self.shard(0))

    def __len__(self) -> int:
        return len(self._offsets_N)

    def shard(self, index: int) -> str:
        """Return the shard that holds one image."""
        return os.fsdecode(bytes(self._shards[self._shards_N[index]]))

    def path(self, index: int) -> str:
        """Return the shard of one image and its name in it."""
        return f"{self.shard(index)}/{bytes(self._keys_N[index]).decode()}"

    def identities(self) -> Sequence[bytes]:
        """Return the member's name and size of each image.

        Not the name of the shard: a fetched shard has another name than a copy of it on disk.
        """
        pairs = zip(self._keys_N.tolist(), self._sizes_N.tolist(), strict=True)
        return [b"%b %d" % pair for pair in pairs]

    def stored_bytes(self, index: int) -> int:
        """Return the size of one member."""
        return int(self._sizes_N[index])

    def content(self, index: int) -> bytearray:
        """Return the bytes of one image; raises :class:`DataError` if the shard is not as it was indexed."""
        offset, size, shard = int(self._offsets_N[index]), int(self._sizes_N[index]), self.shard(index)
        try:
            # Without a buffer: it would read ahead bytes of the next member, which nobody wants.
            with open(shard, "rb", buffering=0) as file:
                file.seek(offset)
                content = bytearray(size)
                got = file.readinto(content)
        except OSError as error:
            raise DataError(f"the shard '{shard}' cannot be read.", got=error.strerror) from None
        if got != size:
            raise DataError(
                f"the shard '{shard}' changed since it was indexed: it ends within '{self.path(index)}'.",
                got=f"{got:,} bytes at byte {offset:,}",
                allowed=f"{size:,} bytes",
                fix="copy or write the shard again, and start again",
            )
        return content

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[C, H, W]``; raises :class:`DataError` naming it if it does not decode."""
        return decode_content(self.content(index), self.path(index), self.in_chans)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels of one image, from its header."""
        return content_size(self.content(index), self.path(index))

    def select(self, indices: Indices) -> ShardImages:
        """Return the images at ``indices``, in that order."""
        return ShardImages(
            self._shards,
            self._shards_N[indices],
            self._keys_N[indices],
            self._offsets_N[indices],
            self._sizes_N[indices],
            self.in_chans,
        )


def join_shards(paths: Sequence[str], indices: Sequence[ShardIndex], in_chans: int) -> ShardImages:
    """Return the images of several shards, one shard after the other."""
    counts = [len(index.offsets_N) for index in indices]
    return ShardImages(
        np.array([os.fsencode(path) for path in paths], np.bytes_),
        np.repeat(np.arange(len(paths), dtype=np.int32), counts),
        np.concatenate([index.keys_N for index in indices]),
        np.concatenate([index.offsets_N for index in indices]),
        np.concatenate([index.sizes_N for index in indices]),
        in_chans,
    )
