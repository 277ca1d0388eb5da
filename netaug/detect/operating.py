"""Measure F1 against the least score of a prediction that is kept, and find the score where it is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netaug.detect.ap import Curve
from netaug.detect.overlaps import Doubles, Integers


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
    kept = _kept(curves)
    if kept is None:
        return None
    best = int(np.argmax(kept.f1_P))
    predicted, right = int(kept.predicted_P[best]), int(kept.right_P[best])
    return Operating(
        float(kept.scores_P[best]), right / predicted, right / kept.objects, float(kept.f1_P[best])
    )


def f1_at(curves: Sequence[Curve], scores_S: Doubles) -> Doubles:
    """Return F1 over all objects of some classes where predictions from each of S scores on are kept.

    Returns:
        In [0, 1]; 0 where nothing is kept, NaN without objects.
    """
    if not sum(curve.objects for curve in curves):
        return np.full(len(scores_S), np.nan)
    kept = _kept(curves)
    if kept is None:
        return np.zeros(len(scores_S))
    count_S = np.searchsorted(-kept.scores_P, -scores_S, side="right")  # distinct scores of at least s
    return np.append(0.0, kept.f1_P)[count_S]


@dataclass(frozen=True)
class _Kept:
    """Holds what is kept from each of P distinct scores on, best score first."""

    scores_P: Doubles
    predicted_P: Integers
    right_P: Integers
    objects: int

    @property
    def f1_P(self) -> Doubles:  # noqa: N802
        return np.asarray(2 * self.right_P / (self.predicted_P + self.objects))


def _kept(curves: Sequence[Curve]) -> _Kept | None:
    """Return None if there are no objects, or none is found."""
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
    return _Kept(scores_P[last], last + 1, right_P[last], objects)


def precision_at(curve: Curve, recalls_R: Doubles) -> Doubles:
    """Return the best precision reached at each recall or a higher one; 0 beyond the highest, NaN without objects."""
    if not curve.objects:
        return np.full(len(recalls_R), np.nan)
    best_P = np.maximum.accumulate(curve.precision_P[::-1])[::-1]
    positions = np.searchsorted(curve.recall_P, recalls_R - 1e-12)
    return np.append(best_P, 0.0)[positions]
