"""The order in which images are visited: each batch is named by a key, so any process can make it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from netaug.core.seeding import generator

BatchKey = tuple[int, npt.NDArray[np.int64]]
"""(epoch, positions in the split of the batch's images)."""


@dataclass(frozen=True)
class Share:
    """What one of several processes loads: its consecutive part of a training batch, every nth batch of an evaluation.

    Args:
        rank: Number of the process, 0-based.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> slice:
        """Return the part of ``count`` positions.

        The parts of all processes are these positions, once each, in order.
        """
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)


WHOLE = Share()


class Selectable(Protocol):
    """A split: images that can be chosen by their positions."""

    def __len__(self) -> int: ...

    def select(self, indices: npt.NDArray[np.int64], /) -> Self:
        """Return the images at ``indices``, in that order."""


SplitT = TypeVar("SplitT", bound=Selectable)


def evenly_spaced(split: SplitT, count: int) -> SplitT:
    """Return ``count`` images from all over a split; all if there are fewer."""
    if count >= len(split):
        return split
    # Folders are sorted by class: the first images would be those of a few classes.
    return split.select(np.linspace(0, len(split) - 1, count).astype(np.int64))


class ShuffledBatches(Sampler[BatchKey]):
    """Keys of one epoch's training batches, in an order of (seed, epoch) alone.

    The last incomplete batch is left out; the next epoch's order leaves out others. ``epoch`` and ``skip``, the number
    of first batches to leave out, may be set between iterations.

    Args:
        size: Number of images in the split.
        batch_size: Images per batch of all processes together, at most ``size``.
        seed: The run's seed.
        share: The part of each batch that this process makes; the batches do not depend on it.
    """

    def __init__(self, size: int, batch_size: int, seed: int, share: Share = WHOLE) -> None:
        self.size, self.batch_size, self.seed, self.share = size, batch_size, seed, share
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[BatchKey]:
        epoch = self.epoch
        # The whole order is drawn even where a run resumes: it must not depend on the step that it resumes at.
        order_N = torch.randperm(self.size, generator=generator(self.seed, "order", epoch)).numpy()
        for step in range(self.skip, len(self)):
            batch_N = order_N[step * self.batch_size : (step + 1) * self.batch_size]
            yield epoch, batch_N[self.share.of(self.batch_size)]


class OrderedBatches(Sampler[BatchKey]):
    """Keys that visit every image once, in order; the last batch may be smaller.

    Args:
        size: Number of images in the split.
        batch_size: Images per batch.
        share: Processes take whole batches in turns: none is cut, repeated or padded.
    """

    def __init__(self, size: int, batch_size: int, share: Share = WHOLE) -> None:
        self.size, self.batch_size, self.share = size, batch_size, share

    def __len__(self) -> int:
        return len(self._starts())

    def _starts(self) -> range:
        # Whole batches in turns: padding them to equal numbers would count images twice.
        stride = self.batch_size * self.share.size
        return range(self.batch_size * self.share.rank, self.size, stride)

    def __iter__(self) -> Iterator[BatchKey]:
        for start in self._starts():
            yield 0, np.arange(start, min(start + self.batch_size, self.size), dtype=np.int64)


class SweptBatches(Sampler[BatchKey]):
    """Keys that visit every image once in order under one draw of the augmentation after the other.

    Args:
        size: Number of images in the split.
        batch_size: Images per batch; the last batch of a draw may be smaller.
        draws: How many draws.
        start: Images to leave out, of all draws together.
    """

    def __init__(self, size: int, batch_size: int, draws: int, start: int = 0) -> None:
        self.size, self.batch_size, self.draws, self.start = size, batch_size, draws, start

    def __iter__(self) -> Iterator[BatchKey]:
        position = self.start
        while position < self.draws * self.size:
            draw, first = divmod(position, self.size)
            last = min(first + self.batch_size, self.size)
            yield draw, np.arange(first, last, dtype=np.int64)
            position += last - first
