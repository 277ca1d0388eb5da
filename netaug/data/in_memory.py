"""Which images are decoded once and held in memory, and how."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.loading import warn_skipped
from netaug.data.memory import announce
from netaug.data.registry import Split
from netaug.data.store import MemoryImages, StoredImages, decode_all
from netaug.data.transforms.small import Fit

_RAM_LIMIT = 512 * 2**20
_SMALL_SIDE = 96  # pixels; up to here a decoded image is about as small as its file
_PEEKED = 64

_log = logging.getLogger("netaug")


def belongs_in_memory(train: Split, val: Split, size: int, config: DataConfig) -> bool:
    """Return whether both splits are decoded once and held, as `data.cache` says or as their size suggests."""
    images = train.images
    if isinstance(images, MemoryImages):
        return True
    if config.cache == "none":
        return False
    large = _largest_side(images) > max(size, _SMALL_SIDE)
    if config.cache == "ram":
        if large and config.augment == "imagenet":
            _log.warning(
                "data.cache ram holds images scaled to %d pixels: random crops come from these, coarser than "
                "from the files.",
                size,
            )
        announce(len(train) + len(val), (images.in_chans, size, size))
        return True
    decoded = (len(train) + len(val)) * images.in_chans * size * size
    return not large and decoded < _RAM_LIMIT


def _largest_side(images: StoredImages) -> int:
    """The largest side in pixels among a few images, evenly spaced; broken files have none."""
    sides = [0]
    for index in np.linspace(0, len(images) - 1, min(_PEEKED, len(images)), dtype=int).tolist():
        try:
            sides.append(max(images.size(index)))
        except DataError:
            continue  # reading it for training says so, or leaves it out
    return max(sides)


def into_memory(split: Split, fit: Fit, skip_errors: bool) -> Split:
    """Return the split with its images decoded; images that do not decode are left out if that is allowed."""
    if isinstance(split.images, MemoryImages):
        return replace(split, images=split.images.fitted(fit.size))
    images, kept, skipped = decode_all(split.images, fit, skip_errors=skip_errors)
    if skipped:
        warn_skipped(skipped)
    if not len(kept):
        raise DataError(
            f"none of the images in '{split.images.folder}' can be read and decoded.",
            got=f"first: '{skipped[0]}'",
        )
    return Split(images, split.labels_N[kept])
