"""A batch from its key: images read, augmented, and put where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from netaug.core.errors import DataError
from netaug.data.batch import ClassificationBatch
from netaug.data.decode.picture import Picture, Pixels, open_picture
from netaug.data.readers.packed.images import PackedImages, PackedPicture
from netaug.data.registry import Split
from netaug.data.sampler import BatchKey
from netaug.data.store import Indices, MemoryImages
from netaug.data.transforms.augment import ImagenetAugment, scratch_for
from netaug.data.transforms.small import Fit, SmallAugment
from netaug.regularize.images import RegularizeImages

_TOGETHER_BYTES = 2**20
"""Pixels that are augmented at once where images are in memory."""


@dataclass(frozen=True)
class Steps:
    """What is done to images on their way into a batch.

    Args:
        fit: Brings an image to the batch's size; None when ``single`` does.
        single: Augments one image; None leaves it.
        whole: Augments a whole batch; None leaves it.
        regularize: Changes single images at last; None leaves them.
        distinct: How many epochs have draws of their own; None repeats none.
    """

    fit: Fit | None
    single: ImagenetAugment | None = None
    whole: SmallAugment | None = None
    regularize: RegularizeImages | None = None
    distinct: int | None = None

    def draw(self, epoch: int) -> int:
        """Return which augmentation an epoch has; the same number means the same pixels."""
        return epoch if self.distinct is None else epoch % self.distinct


@dataclass(frozen=True)
class Loaded:
    """What comes back for a key: a batch, or why there is none.

    An error is a value: a raised one would arrive as the traceback of a worker.

    Args:
        batch: The images; None when there was an error.
        skipped: Files left out because they do not decode.
        error: Why there is no batch.
    """

    batch: ClassificationBatch | None
    skipped: tuple[str, ...] = ()
    error: DataError | None = None

    def pin_memory(self) -> Loaded:
        """Return the same with the batch in page-locked memory."""
        return self if self.batch is None else Loaded(self.batch.pin_memory(), self.skipped)


class BatchDataset(Dataset[Loaded]):
    """Maps a batch key to a batch.

    Args:
        split: Images and labels.
        steps: What is done to the images.
        skip_errors: Leave out files that do not decode.
    """

    def __init__(self, split: Split, steps: Steps, *, skip_errors: bool) -> None:
        self.split, self.steps, self.skip_errors = split, steps, skip_errors

    def __getitem__(self, batch_key: BatchKey) -> Loaded:
        epoch, indices_N = batch_key
        draw = self.steps.draw(epoch)
        try:
            images_NCHW, kept_N, skipped = self._images(draw, indices_N)
        except DataError as error:
            return Loaded(None, error=error)
        # Draws are keyed by position in the split, so an image that is left out changes no other.
        if self.steps.whole is not None:
            images_NCHW = self.steps.whole(images_NCHW, kept_N, draw)
        if self.steps.regularize is not None:
            images_NCHW = self.steps.regularize(images_NCHW, kept_N, draw)
        labels_N = torch.from_numpy(self.split.labels_N[kept_N])
        return Loaded(ClassificationBatch(images_NCHW, labels_N, torch.from_numpy(kept_N)), skipped)

    def at_once(self, keys: Iterable[BatchKey], *, pin_memory: bool) -> Iterator[ClassificationBatch]:
        """Yield the batches of one epoch's keys, of which several are made together; only with :attr:`is_immediate`.

        Args:
            keys: With one epoch.
            pin_memory: Whether batches come in page-locked memory.
        """
        first, left = self.split.images.read(0), iter(keys)
        count = max(1, _TOGETHER_BYTES // first.numel())
        while together := _taken(left, count):
            indices = [indices_N for _, indices_N in together]
            batch = self[together[0][0], np.concatenate(indices)].batch
            assert batch is not None, "images in memory always decode"
            yield from (batch.pin_memory() if pin_memory else batch).split([len(part) for part in indices])

    @property
    def is_immediate(self) -> bool:
        """Return whether a batch is one copy from memory, so that its time is that of calls, not of images."""
        steps = self.steps
        return (
            isinstance(self.split.images, MemoryImages) and steps.single is None and steps.regularize is None
        )

    def _images(self, draw: int, indices_N: Indices) -> tuple[Tensor, Indices, tuple[str, ...]]:
        """Return the batch's images, their positions, and the files left out."""
        images, single = self.split.images, self.steps.single
        if isinstance(images, MemoryImages) and single is None:
            return images.pixels_NCHW[torch.from_numpy(indices_N)], indices_N, ()
        if single is not None:
            return self._augmented(single, draw, indices_N)
        fitted: list[Tensor] = []

        def make(_: int, index: int) -> None:
            image_CHW = images.read(index)
            fitted.append(image_CHW if self.steps.fit is None else self.steps.fit(image_CHW))

        kept_N, skipped = self._each(make, indices_N)
        return torch.stack(fitted), kept_N, skipped

    def _augmented(
        self, single: ImagenetAugment, draw: int, indices_N: Indices
    ) -> tuple[Tensor, Indices, tuple[str, ...]]:
        """Return what :meth:`_images` does, for images that are augmented one by one."""
        draws_ND = single.draws(indices_N, draw).tolist()
        chans = self.split.images.in_chans
        images_NCHW = torch.empty((len(indices_N), chans, single.size, single.size), dtype=torch.uint8)
        # Each image is written into its row: stacking finished images would copy them once more.
        scratch = scratch_for(*images_NCHW.shape[1:])
        written: list[int] = []

        def make(position: int, index: int) -> None:
            single(self._picture(index), draws_ND[position], images_NCHW[position], scratch)
            written.append(position)

        kept_N, skipped = self._each(make, indices_N)
        return images_NCHW if not skipped else images_NCHW[written], kept_N, skipped

    def _picture(self, index: int) -> Picture:
        images = self.split.images
        if isinstance(images, MemoryImages):
            return Pixels(images.read(index))
        if isinstance(images, PackedImages) and images.are_pixels:
            return PackedPicture(images, index)
        return open_picture(images.content(index), images.path(index), images.in_chans)

    def _each(self, make: Callable[[int, int], None], indices_N: Indices) -> tuple[Indices, tuple[str, ...]]:
        """Call ``make(position, index)`` for each image; return the indices that decode, and the other files."""
        images = self.split.images
        kept: list[int] = []
        skipped: list[str] = []
        for position, index in enumerate(indices_N.tolist()):
            try:
                make(position, index)
                kept.append(index)
            except DataError:
                if not self.skip_errors or isinstance(images, MemoryImages):
                    raise
                skipped.append(images.path(index))
        if not kept:
            raise DataError(
                "none of a batch's images can be read and decoded.",
                got=f"{len(skipped)} files that are missing or damaged, the first is '{skipped[0]}'",
                fix="restore or remove the files, or use larger batches",
            )
        return np.array(kept, np.int64), tuple(skipped)


def _taken(keys: Iterator[BatchKey], images: int) -> list[BatchKey]:
    """Take keys of at least one batch, and of more up to so many images; none at the end."""
    taken: list[BatchKey] = []
    for key in keys:
        taken.append(key)
        images -= len(key[1])
        if images < len(key[1]):
            break
    return taken
