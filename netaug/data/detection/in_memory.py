"""Whether decoded images are held in memory, and how large."""

from __future__ import annotations

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.detection.decoded import HeldImages, hold
from netaug.data.detection.problems import Problems
from netaug.data.detection.sources import BoxSplit
from netaug.data.memory import announce_bytes
from netaug.data.transforms.letterbox import letterbox
from netaug.detect.annotations import Integers

AUTO_LIMIT = 512 * 2**20
"""Bytes of decoded images up to which ``data.cache auto`` holds them."""


def into_memory(
    train: BoxSplit, val: BoxSplit, largest: int, side: int, config: DataConfig, problems: Problems
) -> tuple[BoxSplit, BoxSplit]:
    """The same splits, their images decoded if ``data.cache`` or their size says so.

    Training images are scaled down once so that their longer side is the largest that training asks for; evaluation
    images to what is painted, so that evaluation sees the same pixels with and without.

    Args:
        train: Training images.
        val: Evaluation images.
        largest: Pixels of the longer side that training asks for at most.
        side: Side of evaluation in pixels.
        config: Says whether.
        problems: Takes note of files that do not decode.

    Raises:
        DataError: A file does not decode, or there is not enough memory.
    """
    if config.cache == "none":
        return train, val
    train_sizes, val_sizes = scaled_down(train.read_sizes, largest), letterboxed(val.read_sizes, side)
    needed = 3 * int(train_sizes.prod(1).sum() + val_sizes.prod(1).sum())
    if config.cache == "auto" and needed > AUTO_LIMIT:
        return train, val
    if config.cache == "ram":
        announce_bytes(needed, f"{len(train) + len(val):,} images")
    return _held(train, train_sizes, problems), _held(val, val_sizes, problems)


def scaled_down(sizes_N2: Integers, largest: int) -> Integers:
    """Widths and heights with no side longer than ``largest``; smaller images stay."""
    factors = np.minimum(1.0, largest / sizes_N2.max(1))
    scaled: Integers = np.maximum(1, np.rint(sizes_N2 * factors[:, None])).astype(np.int64)
    return scaled


def letterboxed(sizes_N2: Integers, side: int) -> Integers:
    """Widths and heights of images on a canvas of this side."""
    targets = [letterbox(width, height, side).target for width, height in sizes_N2.tolist()]
    return np.array([(one.width, one.height) for one in targets], np.int64).reshape(-1, 2)


def _held(split: BoxSplit, sizes_N2: Integers, problems: Problems) -> BoxSplit:
    if isinstance(split.images, HeldImages):
        return split

    def on_error(error: DataError) -> None:
        problems.pass_on("other_size" if "does not have the size" in error.where else "undecodable", error)

    images, kept = hold(split.images, split.annotations, sizes_N2, on_error)
    if not len(kept):
        raise DataError(f"none of the images in '{split.images.folder}' can be used.", got=problems.first())
    return BoxSplit(images, split.annotations if len(kept) == len(split) else split.annotations.select(kept))
