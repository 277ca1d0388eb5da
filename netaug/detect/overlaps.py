"""Which annotated object a prediction lies on: overlaps of boxes within groups, in NumPy.

K predictions, M objects; boxes are corners (left, top, right, bottom). Rows of predictions are
(position of the image, class, score, left, top, right, bottom) in pixels of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

IMAGE, CLASS, SCORE = 0, 1, 2
BOX = slice(3, 7)

PAIRS_AT_ONCE = 2_000_000
"""Most pairs of boxes compared at a time, about 130 bytes each."""


def pair_iou(first_P4: Doubles, second_P4: Doubles) -> Doubles:
    """Return the intersection over union of P pairs of boxes; 0 where both are empty."""
    low = np.maximum(first_P4[:, :2], second_P4[:, :2])
    high = np.minimum(first_P4[:, 2:], second_P4[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = box_areas(first_P4) + box_areas(second_P4) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def box_areas(boxes_P4: Doubles) -> Doubles:
    """Return areas in square pixels."""
    return np.asarray(np.clip(boxes_P4[:, 2:] - boxes_P4[:, :2], 0, None).prod(axis=1))


def pairs_within(keys_K: Integers, object_keys_M: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield all pairs of a prediction and an object of the same key, some at a time.

    Args:
        keys_K: Of each prediction, what it has to share with an object: an image, or an image and a class.
        object_keys_M: The same of each object.

    Yields:
        Positions of predictions and of objects. All pairs of a prediction come together, predictions in order, and
        for each of them objects in order. Time and memory follow the number of pairs, not K times M.
    """
    order_M = np.argsort(object_keys_M, kind="stable")
    sorted_M = object_keys_M[order_M]
    firsts_K = np.searchsorted(sorted_M, keys_K, side="left")
    counts_K = np.searchsorted(sorted_M, keys_K, side="right") - firsts_K
    paired = np.flatnonzero(counts_K)
    totals = np.cumsum(counts_K[paired])
    start, done = 0, 0
    while start < len(paired):
        stop = max(start + 1, int(np.searchsorted(totals, done + PAIRS_AT_ONCE, side="right")))
        some = paired[start:stop]
        counts = counts_K[some]
        begins = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(begins, counts)
        yield np.repeat(some, counts), order_M[np.repeat(firsts_K[some], counts) + within]
        start, done = stop, int(totals[stop - 1])


def best_object(
    boxes_K4: Doubles, keys_K: Integers, object_boxes_M4: Doubles, object_keys_M: Integers
) -> tuple[Integers, Doubles]:
    """Return the object of the same key that each prediction overlaps most.

    Returns:
        ``best_K``: the object's position, the first of several; -1 where no object of that key overlaps it.
        ``iou_K``: their intersection over union.
    """
    best_K = np.full(len(boxes_K4), -1, dtype=np.int64)
    iou_K = np.zeros(len(boxes_K4))
    for predictions, objects in pairs_within(keys_K, object_keys_M):
        iou = pair_iou(boxes_K4[predictions], object_boxes_M4[objects])
        begins = np.flatnonzero(np.diff(predictions, prepend=-1))
        most = np.maximum.reduceat(iou, begins)
        numbers = predictions[begins]
        iou_K[numbers] = most
        reaches = np.flatnonzero(iou == np.repeat(most, np.diff(begins, append=len(iou))))
        reached, first = np.unique(predictions[reaches], return_index=True)
        best_K[reached] = objects[reaches[first]]
    best_K[iou_K == 0] = -1
    return best_K, iou_K
