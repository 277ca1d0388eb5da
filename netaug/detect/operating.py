"""Find the least score with which predictions have the best F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netaug.detect.ap import Curve
from netaug.detect.overlaps import Doubles


@dataclass(frozen=True)
class Operating:
    """Holds the effect of keeping predictions from a score on; fractions in [0, 1].

    Args:
        score: The least score of a prediction that is kept.
        precision: Fraction of these predictions that are right.
        recall: Fraction of the objects that they find.
        f1: Harmonic mean of both.
    """

    score: float
    precision: float
    recall: float
    f1: float


def best_operating(curves: Sequence[Curve]) -> Operating | None:
    """Return the score with the best F1 over all objects of some classes, the highest of several.

    Returns:
        None if there are no objects, or none is found.
    """
    objects = sum(curve.objects for curve in curves)
    scores_P = np.concatenate([np.zeros(0), *(curve.scores_P for curve in curves)])
    gained_P = np.concatenate(
        [np.zeros(0, np.int64), *(np.diff(curve.right_P, prepend=0) for curve in curves)]
    )
    if not objects or not gained_P.any():
        return None
    order = np.argsort(-scores_P, kind="stable")
    scores_P, right_P = scores_P[order], np.cumsum(gained_P[order])
    last = np.flatnonzero(np.diff(scores_P, append=-np.inf))  # a threshold takes all predictions of a score
    predicted, right = last + 1, right_P[last]
    f1 = 2 * right / (predicted + objects)
    best = int(np.argmax(f1))
    return Operating(
        float(scores_P[last[best]]),
        float(right[best] / predicted[best]),
        float(right[best] / objects),
        float(f1[best]),
    )


def precision_at(curve: Curve, recalls_R: Doubles) -> Doubles:
    """Return the best precision reached at each recall or a higher one; 0 beyond the highest, NaN without objects."""
    if not curve.objects:
        return np.full(len(recalls_R), np.nan)
    best_P = np.maximum.accumulate(curve.precision_P[::-1])[::-1]
    positions = np.searchsorted(curve.recall_P, recalls_R - 1e-12)
    return np.append(best_P, 0.0)[positions]
