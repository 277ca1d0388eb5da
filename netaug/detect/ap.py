"""Average precision as Pascal VOC counts it.

Only boxes of one class and image are compared, some millions of pairs at a time, so time and memory follow the pairs
that can meet. Where there are no objects a number is NaN, never 0 or -1. Corners are edges of pixels: no ``+ 1``.

K predictions, M objects, C classes. Rows of predictions are (position of the image in the split, class, score, left,
top, right, bottom) in pixels of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from netaug.detect.annotations import Annotations, Flags
from netaug.detect.overlaps import BOX, CLASS, IMAGE, SCORE, Doubles, Integers, best_object

Points = Literal["all", "11"]


@dataclass(frozen=True)
class Curve:
    """Holds the precision and recall of a class, from its highest-scored prediction down to each of the P that count.

    Args:
        scores_P: Scores, highest first.
        right_P: Right predictions up to here.
        precision_P: Fraction of the predictions up to here that are right.
        recall_P: Fraction of the objects that are found by then; NaN if there are none.
        objects: Number of objects that count.
    """

    scores_P: Doubles
    right_P: Integers
    precision_P: Doubles
    recall_P: Doubles
    objects: int


@dataclass(frozen=True)
class VocAP:
    """Holds the average precision of each class, in [0, 1].

    Args:
        ap_C: By class; NaN for a class without objects that count.
        mean: Mean over the classes that have objects; NaN if none has.
        curves: Of each class, in order.
        iou: Overlap from which a prediction lies on an object.
        points: ``all``, or the ``11`` of VOC2007.
    """

    ap_C: Doubles
    mean: float
    curves: tuple[Curve, ...]
    iou: float
    points: Points


def voc_ap(rows_K7: Doubles, truth: Annotations, iou: float = 0.5, points: Points = "all") -> VocAP:
    """Measure how well predictions find objects, the way of Pascal VOC.

    From the highest-scored prediction down, each belongs to the object of its class and image that it overlaps most.
    It is right if that overlap is at least ``iou`` and no higher-scored one was right about the object; a second one
    on it is wrong. It counts neither as right nor as wrong if the object is difficult (or one of COCO's crowds). Of
    equal scores the row that comes first counts as the higher one, so another order may give another result.

    Args:
        rows_K7: Predictions, in any order.
        truth: The objects of all images of the split.
        iou: Least intersection over union, in (0, 1].
        points: ``all`` is the area under the precision that is reached at each recall or later (from VOC2010 on);
            ``11`` the mean of that precision at recalls 0, 0.1 .. 1 (VOC2007).

    Returns:
        Average precisions and curves. A class without objects has none, whatever is predicted of it.

    Source:
        Everingham et al. 2010 and the devkits' ``VOCevaldet.m``; corners here are edges of pixels instead of pixels,
        so widths need no + 1.
    """
    assert rows_K7.ndim == 2 and rows_K7.shape[1] == 7, f"rows of 7 columns, not {rows_K7.shape}"
    classes = len(truth.category_ids_C)
    assert not len(rows_K7) or rows_K7[:, CLASS].max() < classes, f"a class beyond the {classes} of the split"
    rows_K7 = rows_K7[np.argsort(-rows_K7[:, SCORE], kind="stable")]
    ignored_M = truth.difficult_M | truth.crowd_M
    right_K, counted_K = matched(rows_K7, truth, ignored_M, iou)
    objects_C = np.bincount(truth.labels_M[~ignored_M], minlength=classes)
    curves = _curves(rows_K7[counted_K], right_K[counted_K], objects_C)
    average = {"all": _area, "11": _eleven}[points]
    ap_C = np.array([average(curve) if curve.objects else np.nan for curve in curves], dtype=np.float64)
    known = ap_C[~np.isnan(ap_C)]
    return VocAP(ap_C, float(known.mean()) if len(known) else float("nan"), curves, iou, points)


def matched(rows_K7: Doubles, truth: Annotations, ignored_M: Flags, iou: float) -> tuple[Flags, Flags]:
    """Tell which predictions are right, and which count.

    Args:
        rows_K7: Predictions, the highest score first.
        truth: The objects.
        ignored_M: Objects that do not count, nor what is predicted of them.
        iou: Least intersection over union.
    """
    classes = len(truth.category_ids_C)
    keys_K = rows_K7[:, IMAGE].astype(np.int64) * classes + rows_K7[:, CLASS].astype(np.int64)
    keys_M = truth.owners * classes + truth.labels_M
    best_K, iou_K = best_object(rows_K7[:, BOX], keys_K, truth.boxes_M4.astype(np.float64), keys_M)
    on_K = (best_K >= 0) & (iou_K >= iou)
    counted_K = np.ones(len(rows_K7), dtype=np.bool_)
    counted_K[on_K] = ~ignored_M[best_K[on_K]]
    candidates = np.flatnonzero(on_K & counted_K)
    right_K = np.zeros(len(rows_K7), dtype=np.bool_)
    right_K[candidates[np.unique(best_K[candidates], return_index=True)[1]]] = True
    return right_K, counted_K


def _curves(rows_K7: Doubles, right_K: Flags, objects_C: Integers) -> tuple[Curve, ...]:
    """Return the curve of each class from rows that count, the highest score first."""
    labels_K = rows_K7[:, CLASS].astype(np.int64)
    by_class = np.argsort(labels_K, kind="stable")  # stable: within a class rows stay in order of score
    ends = np.searchsorted(labels_K[by_class], np.arange(len(objects_C) + 1))
    scores, right = rows_K7[by_class, SCORE], right_K[by_class]
    return tuple(
        _curve(scores[ends[c] : ends[c + 1]], right[ends[c] : ends[c + 1]], int(objects_C[c]))
        for c in range(len(objects_C))
    )


def _curve(scores_P: Doubles, flags_P: Flags, objects: int) -> Curve:
    right_P = np.cumsum(flags_P, dtype=np.int64)
    precision_P = right_P / np.arange(1, len(flags_P) + 1)
    recall_P = right_P / objects if objects else np.full(len(flags_P), np.nan)
    return Curve(scores_P, right_P, precision_P, recall_P, objects)


def _later_best(curve: Curve) -> Doubles:
    """Return the best precision at each point of the curve or further down it."""
    return np.asarray(np.maximum.accumulate(curve.precision_P[::-1])[::-1])


def _area(curve: Curve) -> float:
    """Add up one object's recall for each right prediction, times the precision reached there or later."""
    gained = np.diff(curve.right_P, prepend=0)
    return float((gained * _later_best(curve)).sum() / curve.objects)


def _eleven(curve: Curve) -> float:
    """Average over eleven recalls, compared as whole numbers, since 0.1 * 3 is not 3 / 10."""
    best = _later_best(curve)
    first_P = [int(np.searchsorted(10 * curve.right_P, tenth * curve.objects)) for tenth in range(11)]
    return float(sum(best[first] for first in first_P if first < len(best)) / 11)
