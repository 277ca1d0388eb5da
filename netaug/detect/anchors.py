"""Sizes that a detector's boxes are told relative to: k-means on the boxes of a training set, or COCO's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from netaug.config.detect import ANCHORS
from netaug.core.errors import DataError
from netaug.core.seeding import key

Anchors = tuple[tuple[float, float], ...]
Sizes = npt.NDArray[np.floating]

COCO_ANCHORS: Anchors = (
    *((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    *((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    *((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)
"""Widths and heights in pixels of an input of 416x416. Source: Redmon & Farhadi 2018, arXiv:1804.02767, section 2.3."""

_MOST = 10_000  # more boxes than this say nothing new about nine sizes
_ROUNDS = 100
_STARTS = 3
_FACTORS = (0.5, 2.0, 0.25, 4.0, 0.125, 8.0, 0.0625, 16.0)


def kmeans_anchors(sizes_M2: Sizes, seed: int = 0) -> Anchors:
    """Group the sizes of boxes into nine, so that each box overlaps with its nearest anchor as much as possible.

    Args:
        sizes_M2: Widths and heights in pixels of the network's input, above 0. Of more than 10,000 so many are drawn.
        seed: Keys what is drawn: the boxes, and the sizes that the three tries start from, of which the best counts.

    Returns:
        Nine (width, height) in ascending area. If the boxes have fewer than nine different sizes: those sizes, and
        halves and doubles of them.

    Raises:
        DataError: There are no boxes, or a size is not a number above 0.

    Source:
        Redmon & Farhadi 2016, arXiv:1612.08242, section 2: k-means with the distance 1 - IoU.
    """
    sizes_M2 = _checked(sizes_M2)
    random = np.random.default_rng(key(seed, "anchors"))
    if len(sizes_M2) > _MOST:
        sizes_M2 = sizes_M2[random.permutation(len(sizes_M2))[:_MOST]]
    different = np.unique(sizes_M2, axis=0)
    if len(different) <= ANCHORS:
        return _ascending(_filled(different))
    tries = [_grouped(sizes_M2, _spread(different, random)) for _ in range(_STARTS)]
    return _ascending(max(tries, key=lambda anchors: _best_overlaps(sizes_M2, anchors).mean()))


def mean_best_iou(sizes_M2: Sizes, anchors: Anchors) -> float:
    """Measure how well anchors fit boxes: the mean over boxes of the IoU of sizes with the best anchor, in (0, 1].

    Raises:
        DataError: There are no boxes, or a size is not a number above 0.
    """
    return float(_best_overlaps(_checked(sizes_M2), np.array(anchors)).mean())


def _checked(sizes_M2: Sizes) -> npt.NDArray[np.float64]:
    sizes = np.asarray(sizes_M2, np.float64).reshape(-1, 2)
    if len(sizes) == 0:
        raise DataError(
            "there are no boxes to find anchors from.",
            got="0 boxes",
            fix="--detect.anchors coco takes those of YOLOv3",
        )
    wrong = ~(np.isfinite(sizes) & (sizes > 0)).all(1)
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"{int(wrong.sum())} of {len(sizes)} boxes have no size to find anchors from.",
            got=f"width {sizes[first, 0]:g} and height {sizes[first, 1]:g} of box {first}",
            allowed="widths and heights above 0",
        )
    return sizes


def _overlaps(sizes_M2: Sizes, anchors_K2: Sizes) -> npt.NDArray[np.float64]:
    shared = np.minimum(sizes_M2[:, None, 0], anchors_K2[None, :, 0])
    shared = shared * np.minimum(sizes_M2[:, None, 1], anchors_K2[None, :, 1])
    union: npt.NDArray[np.float64] = sizes_M2.prod(1)[:, None] + anchors_K2.prod(1)[None] - shared
    return shared / union


def _best_overlaps(sizes_M2: Sizes, anchors_K2: Sizes) -> npt.NDArray[np.float64]:
    best: npt.NDArray[np.float64] = _overlaps(sizes_M2, anchors_K2).max(1)
    return best


def _spread(different_U2: Sizes, random: np.random.Generator) -> Sizes:
    """Draw nine different sizes to start from, each by its squared distance to those before it (k-means++)."""
    chosen = [int(random.integers(len(different_U2)))]
    while len(chosen) < ANCHORS:
        distances = (1 - _best_overlaps(different_U2, different_U2[chosen])) ** 2
        distances[chosen] = 0.0
        chosen.append(int(random.choice(len(different_U2), p=distances / distances.sum())))
    return different_U2[chosen]


def _grouped(sizes_M2: Sizes, anchors_K2: Sizes) -> Sizes:
    """Move each anchor to the mean of the boxes nearest to it, until none changes its anchor."""
    nearest = np.full(len(sizes_M2), -1)
    for _ in range(_ROUNDS):
        before, nearest = nearest, _overlaps(sizes_M2, anchors_K2).argmax(1)
        if (before == nearest).all():
            break
        counts = np.bincount(nearest, minlength=ANCHORS)
        sums = np.stack([np.bincount(nearest, sizes_M2[:, side], ANCHORS) for side in (0, 1)], axis=1)
        held = counts > 0  # an anchor without boxes stays where it is
        anchors_K2 = np.where(held[:, None], sums / np.maximum(counts, 1)[:, None], anchors_K2)
    return anchors_K2


def _filled(different_U2: Sizes) -> Sizes:
    """Return nine different sizes: those given, then halves and doubles, quarters and so on of them."""
    sizes = [tuple(size) for size in different_U2.tolist()]
    for factor in _FACTORS:
        for width, height in different_U2.tolist():
            scaled = (width * factor, height * factor)
            if len(sizes) < ANCHORS and scaled not in sizes:
                sizes.append(scaled)
    return np.array(sizes)


def _ascending(anchors_K2: Sizes) -> Anchors:
    rounded = sorted((round(width, 2), round(height, 2)) for width, height in anchors_K2.tolist())
    return tuple(sorted(rounded, key=lambda size: size[0] * size[1]))
