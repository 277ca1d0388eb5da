"""Batches of images: made whole from a key, in this process or in loader processes, with the same bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from netaug.core.errors import DataError
from netaug.data.batch import ClassificationBatch
from netaug.data.dataset import BatchDataset, Steps
from netaug.data.registry import Split
from netaug.data.sampler import (
    WHOLE,
    OrderedBatches,
    Share,
    ShuffledBatches,
    SweptBatches,
    evenly_spaced,
)
from netaug.data.store import Indices, MemoryImages
from netaug.data.workers import all_or_none, end_with_owner, start_worker, without_torchs_word_on_many

_log = logging.getLogger("netaug")

_LISTED = 20

Made = TypeVar("Made")


@dataclass(frozen=True)
class Loading:
    """How batches are fetched; none of it changes the pixels.

    Args:
        workers: Loader processes; 0 loads in this process.
        skip_errors: Leave out files that do not decode, and say how many; else they raise.
        pin_memory: Whether batches come in page-locked memory.
        share: What this process loads, if several train together.
    """

    workers: int = 0
    skip_errors: bool = False
    pin_memory: bool = False
    share: Share = WHOLE


def check_fills_batch(count: int, batch_size: int) -> None:
    """Refuse fewer training images than one batch.

    Raises:
        DataError: There are fewer.
    """
    if count < batch_size:
        raise DataError(
            "the training images do not fill one batch.",
            got=f"{count} images, data.batch_size {batch_size}",
            allowed="a batch size of at most the number of training images",
            fix=f"--data.batch_size {max(1, min(32, count))}",
        )


class TrainLoader:
    """Training batches, epoch by epoch; the same bits for any number of workers.

    Args:
        split: Training images, already selected.
        steps: What is done to them.
        batch_size: Images per step, of all processes together.
        seed: Keys the order.
        loading: How they are fetched.

    Raises:
        DataError: There are fewer images than one batch.
    """

    def __init__(self, split: Split, steps: Steps, *, batch_size: int, seed: int, loading: Loading) -> None:
        check_fills_batch(len(split), batch_size)
        self._dataset = dataset = BatchDataset(split, steps, skip_errors=loading.skip_errors)
        self._loading = loading
        self._sampler = ShuffledBatches(len(split), batch_size, seed, loading.share)
        self._batches = Batches[ClassificationBatch](dataset, self._sampler, loading)

    def __len__(self) -> int:
        """Return the steps per epoch; the last incomplete batch is left out."""
        return len(self._sampler)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[ClassificationBatch]:
        """Yield this process's part of one epoch's batches, 0-based, without the first ``skip``; one epoch at a time.

        Raises:
            DataError: An image does not decode.
        """
        self._sampler.epoch, self._sampler.skip = epoch, skip
        if self._dataset.is_immediate and self._loading.workers == 0:
            # A batch of small images from memory takes less time than torch's loader around it.
            yield from self._dataset.at_once(self._sampler, pin_memory=self._loading.pin_memory)
        else:
            yield from self._batches

    def draw(self, epoch: int) -> int:
        """Return which augmentation an epoch has; see :attr:`Steps.distinct`."""
        return self._dataset.steps.draw(epoch)

    def sweep(self, draws: int, batch_size: int, start: int = 0) -> Iterator[tuple[int, ClassificationBatch]]:
        """Yield every training image once in order under draw 0, then under draw 1, and so on.

        Args:
            draws: How many.
            batch_size: Images of a batch; none has images of two draws.
            start: Images to leave out, of all draws together.

        Yields:
            The draw and the images, as :meth:`epoch` gives them.

        Raises:
            DataError: An image does not decode.
        """
        keys = SweptBatches(len(self._dataset.split), batch_size, draws, start)
        yield from zip(
            (draw for draw, _ in keys),
            Batches[ClassificationBatch](self._dataset, keys, self._loading),
            strict=True,
        )

    def unaugmented(self, like: EvalLoader, count: int) -> EvalLoader:
        """Return a loader of training images as ``like`` prepares evaluation images, evenly spaced over the split.

        Args:
            like: Of the same dataset.
            count: Number of images; all if there are fewer.
        """
        return like.over(self._dataset.split, count)

    def make(self, draw: int, indices_N: Indices) -> ClassificationBatch:
        """Return the images at these positions under a draw, made in this process.

        Raises:
            DataError: One does not decode.
        """
        loaded = self._dataset[draw, indices_N]
        if loaded.error is not None:
            raise loaded.error
        assert loaded.batch is not None, "there is a batch or an error"
        return loaded.batch


class EvalLoader:
    """Evaluation batches: every image once, in order, the last batch as small as it comes.

    Args:
        split: Evaluation images, already selected.
        steps: What is done to them.
        batch_size: Images per step.
        loading: How they are fetched.
    """

    def __init__(self, split: Split, steps: Steps, *, batch_size: int, loading: Loading) -> None:
        if isinstance(split.images, MemoryImages):
            loading = replace(loading, workers=0)  # nothing to compute: processes would only copy
        self._dataset = dataset = BatchDataset(split, steps, skip_errors=loading.skip_errors)
        self._batch_size, self._loading = batch_size, loading
        self._sampler = OrderedBatches(len(split), batch_size, loading.share)
        self._batches = Batches[ClassificationBatch](dataset, self._sampler, loading)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._sampler)

    @property
    def split(self) -> Split:
        """Return the images and labels, at the positions that batches name."""
        return self._dataset.split

    def evenly_spaced(self, count: int) -> EvalLoader:
        """Return a loader of ``count`` of these images from all over the split; of all if there are fewer."""
        return self.over(self._dataset.split, count)

    def over(self, split: Split, count: int) -> EvalLoader:
        """Return a loader of ``count`` evenly spaced images of a split, prepared as those of this one."""
        chosen = evenly_spaced(split, count)
        return EvalLoader(chosen, self._dataset.steps, batch_size=self._batch_size, loading=self._loading)

    def __iter__(self) -> Iterator[ClassificationBatch]:
        """Iterate over the batches; raises :class:`DataError` when an image does not decode."""
        return iter(self._batches)


class Batches(Generic[Made]):
    """Runs a dataset over its sampler's keys and raises and counts what went wrong in this process.

    Args:
        dataset: Maps a key to a batch, the files left out, and an error.
        sampler: The keys.
        loading: How they are fetched.
    """

    def __init__(self, dataset: Dataset[Any], sampler: Sampler[Any], loading: Loading) -> None:
        self._skipped: set[str] = set()
        if loading.workers > 0:
            import torchvision.transforms.v2  # noqa: F401  # slow: once here, not in each process that is forked
        with without_torchs_word_on_many():
            self._loader = DataLoader(
                dataset,
                batch_size=None,  # one key is one whole batch: workers make it, nothing is collated after them
                sampler=sampler,
                num_workers=loading.workers,
                persistent_workers=loading.workers > 0,
                collate_fn=_unchanged,
                worker_init_fn=start_worker,
                pin_memory=loading.pin_memory,
                generator=torch.Generator(),  # else each epoch would draw from torch's global generator
            )

    def __iter__(self) -> Iterator[Made]:
        # Files are skipped again in each epoch: only those that are new are worth a warning.
        before = len(self._skipped)
        with without_torchs_word_on_many(), all_or_none():
            iterator = iter(self._loader)
        end_with_owner(self, iterator)
        for loaded in iterator:
            if loaded.error is not None:
                raise loaded.error
            self._skipped.update(loaded.skipped)
            yield loaded.batch
        if len(self._skipped) > before:
            warn_skipped(sorted(self._skipped))


def warn_skipped(paths: list[str]) -> None:
    """Log how many images are left out, and which."""
    more = len(paths) - _LISTED
    _log.warning(
        "left out %d image%s that cannot be read or decoded, first: '%s'%s%s",
        len(paths),
        "s" * (len(paths) > 1),
        paths[0],
        "".join(f"\n  '{path}'" for path in paths[1:_LISTED]),
        f"\n  and {more} more; `netaug data check` lists all" if more > 0 else "",
    )


def _unchanged(loaded: Any) -> Any:
    return loaded
