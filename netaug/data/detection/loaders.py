"""Batches of images with boxes; the same bits for any number of loader processes.

The side of a step's images travels in the batch's key, so that all processes make the same batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from netaug.core.seeding import key, uniforms
from netaug.data.batch import DetectionBatch
from netaug.data.detection.batches import BoxDataset, BoxKey
from netaug.data.detection.sources import BoxSplit
from netaug.data.loading import Batches, Loading, check_fills_batch
from netaug.data.sampler import OrderedBatches, ShuffledBatches, evenly_spaced
from netaug.data.transforms.detection import BoxAugment


@dataclass(frozen=True)
class Sides:
    """The side in pixels of each training step's images.

    Args:
        choices: Sides that are drawn from, one for each step.
        seed: Keys the draws.
    """

    choices: tuple[int, ...]
    seed: int

    def of(self, epoch: int, step: int) -> int:
        """Return the side at a step of an epoch, by (seed, epoch, step) alone: all processes draw the same."""
        if len(self.choices) == 1:
            return self.choices[0]
        draw = uniforms(key(self.seed, "sides", epoch), np.array([step]), 1)[0, 0]
        return self.choices[int(draw * len(self.choices))]


class _Keys(Sampler[BoxKey]):
    """Keys of a sampler's batches, with draw and side."""

    def __init__(self, batches: ShuffledBatches | OrderedBatches, sides: Sides, distinct: int | None) -> None:
        self._batches, self._sides, self._distinct = batches, sides, distinct

    def __iter__(self) -> Iterator[BoxKey]:
        # Steps are counted from the start of the epoch: the side of a step must not depend on where a run resumes.
        skip = self._batches.skip if isinstance(self._batches, ShuffledBatches) else 0
        for step, (epoch, indices_N) in enumerate(self._batches, start=skip):
            draw = epoch if self._distinct is None else epoch % self._distinct
            yield BoxKey(draw, self._sides.of(epoch, step), indices_N)


class BoxTrainLoader:
    """Training batches, epoch by epoch.

    Args:
        split: Training images, already selected.
        augment: What is done to them; None fits them in whole.
        sides: How large they are.
        batch_size: Images per step, of all processes together.
        seed: Keys the order.
        loading: How they are fetched.
        distinct: How many epochs have draws of their own; None repeats none.

    Raises:
        DataError: There are fewer images than one batch.
    """

    def __init__(
        self,
        split: BoxSplit,
        augment: BoxAugment | None,
        sides: Sides,
        *,
        batch_size: int,
        seed: int,
        loading: Loading,
        distinct: int | None = None,
    ) -> None:
        self.split = split
        check_fills_batch(len(split), batch_size)
        dataset = BoxDataset(split, augment, skip_errors=loading.skip_errors)
        self._sampler = ShuffledBatches(len(split), batch_size, seed, loading.share)
        self._batches = Batches[DetectionBatch](dataset, _Keys(self._sampler, sides, distinct), loading)

    def __len__(self) -> int:
        """Return the steps per epoch; the last incomplete batch is left out."""
        return len(self._sampler)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[DetectionBatch]:
        """Yield this process's part of one epoch's batches, 0-based, without the first ``skip``; one epoch at a time.

        Raises:
            DataError: An image does not decode.
        """
        self._sampler.epoch, self._sampler.skip = epoch, skip
        yield from self._batches

    def unaugmented(self, like: BoxEvalLoader, count: int) -> BoxEvalLoader:
        """Return a loader of training images as ``like`` prepares evaluation images, evenly spaced over the split.

        Args:
            like: Of the same dataset.
            count: Number of images; all if there are fewer.
        """
        return like.over(self.split, count)


class BoxEvalLoader:
    """Evaluation batches: every image once, whole, in order, the last batch as small as it comes.

    Args:
        split: Evaluation images, already selected.
        side: Height and width of the batches in pixels.
        batch_size: Images per step.
        loading: How they are fetched.
    """

    def __init__(self, split: BoxSplit, side: int, *, batch_size: int, loading: Loading) -> None:
        self.split = split
        self._side, self._batch_size, self._loading = side, batch_size, loading
        dataset = BoxDataset(split, None, skip_errors=loading.skip_errors)
        self._sampler = OrderedBatches(len(split), batch_size, loading.share)
        keys = _Keys(self._sampler, Sides((side,), 0), None)
        self._batches = Batches[DetectionBatch](dataset, keys, loading)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._sampler)

    def evenly_spaced(self, count: int) -> BoxEvalLoader:
        """Return a loader of ``count`` of these images from all over the split; of all if there are fewer."""
        return self.over(self.split, count)

    def over(self, split: BoxSplit, count: int) -> BoxEvalLoader:
        """Return a loader of ``count`` evenly spaced images of a split, prepared as those of this one."""
        return BoxEvalLoader(
            evenly_spaced(split, count), self._side, batch_size=self._batch_size, loading=self._loading
        )

    def __iter__(self) -> Iterator[DetectionBatch]:
        """Iterate over the batches; raises :class:`DataError` when an image does not decode."""
        return iter(self._batches)
