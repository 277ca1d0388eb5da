"""Which object each sure prediction belongs to whatever its class, and what is taken for what.

K predictions, M objects, C classes. Rows of predictions are (position of the image in the split, class, score, left,
top, right, bottom) in pixels of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netaug.detect.annotations import Annotations
from netaug.detect.overlaps import BOX, CLASS, IMAGE, SCORE, Doubles, Integers, pair_iou, pairs_within

WRONG, UNCOUNTED = -1, -2


@dataclass(frozen=True)
class Pairing:
    """Holds the predictions of at least some score, highest first, and the objects that they match.

    Args:
        rows_K7: These predictions.
        object_K: Position of the object that each belongs to; -1 if there is none, -2 if it lies on one that does not
            count.
        missed: Positions of the objects that count and that no prediction belongs to.
    """

    rows_K7: Doubles
    object_K: Integers
    missed: Integers


def pair_up(rows_K7: Doubles, truth: Annotations, *, score: float = 0.25, iou: float = 0.5) -> Pairing:
    """Give each prediction an object of its image, of whatever class.

    From the highest-scored prediction down, each takes the object left that it overlaps most, if by at least ``iou``;
    of equal overlaps one of its own class. One that could only take a difficult object or a crowd does not count, and
    leaves it to others too.

    Args:
        rows_K7: Predictions, in any order.
        truth: The objects of all images of the split.
        score: Least score of a prediction that is looked at.
        iou: Least intersection over union.
    """
    rows_K7 = rows_K7[rows_K7[:, SCORE] >= score]
    rows_K7 = rows_K7[np.argsort(-rows_K7[:, SCORE], kind="stable")]
    ignored_M = truth.difficult_M | truth.crowd_M
    object_K = np.full(len(rows_K7), WRONG, dtype=np.int64)
    taken_M = np.zeros(len(ignored_M), dtype=np.bool_)
    for prediction, match in _near(rows_K7, truth, iou):
        if object_K[prediction] >= 0:
            continue
        if ignored_M[match]:
            object_K[prediction] = UNCOUNTED
        elif not taken_M[match]:
            object_K[prediction] = match
            taken_M[match] = True
    return Pairing(rows_K7, object_K, np.flatnonzero(~taken_M & ~ignored_M))


def _near(rows_K7: Doubles, truth: Annotations, iou: float) -> list[tuple[int, int]]:
    """Return pairs of prediction and object that overlap enough: predictions in order, best object first."""
    pieces = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    boxes_K4, boxes_M4 = np.ascontiguousarray(rows_K7[:, BOX]), truth.boxes_M4.astype(np.float64)
    for predictions, objects in pairs_within(rows_K7[:, IMAGE].astype(np.int64), truth.owners):
        overlap = pair_iou(boxes_K4[predictions], boxes_M4[objects])
        near = overlap >= iou
        pieces.append((predictions[near], objects[near], overlap[near]))
    predictions, objects, overlap = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    other = rows_K7[predictions, CLASS] != truth.labels_M[objects]
    order = np.lexsort((objects, other, -overlap, predictions))
    return list(zip(predictions[order].tolist(), objects[order].tolist(), strict=True))


def confusion(pairing: Pairing, truth: Annotations) -> Integers:
    """Count what is taken for what.

    Returns:
        ``[C + 1, C + 1]``: a row per class of the object, the last one for none; a column per class predicted, the last
        one for objects that are missed.
    """
    classes = len(truth.category_ids_C)
    counted = pairing.object_K != UNCOUNTED
    object_K, said_K = pairing.object_K[counted], pairing.rows_K7[counted, CLASS].astype(np.int64)
    is_K = np.full(len(object_K), classes, dtype=np.int64)
    is_K[object_K >= 0] = truth.labels_M[object_K[object_K >= 0]]
    matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    np.add.at(matrix, (is_K, said_K), 1)
    matrix[:classes, classes] = np.bincount(truth.labels_M[pairing.missed], minlength=classes)
    return matrix
