"""The order in which images are visited: each batch is named by a key, so any process can make it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from netaug.seeding import generator

BatchKey = tuple[int, npt.NDArray[np.int64]]
"""(epoch, positions in the split of the batch's images)."""


class ShuffledBatches(Sampler[BatchKey]):
    """Keys of one epoch's training batches, in an order of (seed, epoch) alone.

    The last incomplete batch is left out; the next epoch's order leaves out others. ``epoch`` and ``skip``, the number
    of first batches to leave out, may be set between iterations.

    Args:
        size: Number of images in the split.
        batch_size: Images per batch, at most ``size``.
        seed: The run's seed.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[BatchKey]:
        epoch = self.epoch
        order_N = torch.randperm(self.size, generator=generator(self.seed, "order", epoch)).numpy()
        for step in range(self.skip, len(self)):
            yield epoch, order_N[step * self.batch_size : (step + 1) * self.batch_size]


class OrderedBatches(Sampler[BatchKey]):
    """Keys that visit every image once, in order; the last batch may be smaller.

    Args:
        size: Number of images in the split.
        batch_size: Images per batch.
    """

    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[BatchKey]:
        for start in range(0, self.size, self.batch_size):
            yield 0, np.arange(start, min(start + self.batch_size, self.size), dtype=np.int64)
