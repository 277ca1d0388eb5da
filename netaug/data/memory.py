"""Which images are decoded once and held, how much memory they take, and how much there is."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.loading import warn_skipped
from netaug.data.registry import Split
from netaug.data.store import MemoryImages, StoredImages, decode_all
from netaug.data.transforms.small import Fit

_log = logging.getLogger("netaug")

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")

_RAM_LIMIT = 512 * 2**20
_SMALL_SIDE = 96  # pixels; up to here a decoded image is about as small as its file
_PEEKED = 64


def available_bytes() -> int | None:
    """Return memory that this process may still take: the machine's, or what its control group leaves.

    The result is None if that is unknown.
    """
    limits = [limit for limit in (_of_machine(), _of_group()) if limit is not None]
    return min(limits) if limits else None


def announce(images: int, shape_CHW: tuple[int, int, int]) -> None:
    """Announce what decoded images take, before they are.

    Args:
        images: Number of them.
        shape_CHW: Channels, height and width in pixels, a byte each.

    Raises:
        DataError: It is more than the memory available.
    """
    chans, height, width = shape_CHW
    announce_bytes(images * chans * height * width, f"{images:,} images of {height} x {width} pixels")


def announce_bytes(needed: int, images: str) -> None:
    """Announce what decoded images take, before they do.

    Args:
        needed: Bytes.
        images: Which images, in words.

    Raises:
        DataError: It is more than the memory available.
    """
    available = available_bytes()
    images = f"{images}, {needed:,} bytes ({needed / 2**20:,.0f} MiB)"
    if available is not None and needed > available:
        raise DataError(
            "data.cache ram needs more memory than there is.",
            got=images,
            allowed=f"{available:,} bytes are available ({available / 2**20:,.0f} MiB)",
            fix="--data.cache none, which decodes at each access; or a smaller --data.image_size or --data.limit",
        )
    _log.warning("data.cache ram holds %s in memory.", images)


def _of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _of_group() -> int | None:
    try:
        # In a container this is less than the memory of the machine, which /proc/meminfo names.
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


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
    """Return the largest side in pixels among a few images, evenly spaced; damaged files have none."""
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
