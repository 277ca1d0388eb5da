"""The score from which predictions are best believed, against all scores tried."""

from __future__ import annotations

import numpy as np
import pytest

from netaug.detect.ap import voc_ap
from netaug.detect.operating import best_operating, f1_at, precision_at
from tests.detect.splits import random_split, rows, split

BOX = (10, 10, 30, 30)
OFF = (60, 60, 80, 80)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_scores(seed):
    curves = voc_ap(*random_split(seed, images=30)).curves[:2]
    best = best_operating(curves)
    tried = []
    for score in np.unique(np.concatenate([curve.scores_P for curve in curves])):
        right = sum(
            int((np.diff(curve.right_P, prepend=0) * (curve.scores_P >= score)).sum()) for curve in curves
        )
        said = sum(int((curve.scores_P >= score).sum()) for curve in curves)
        objects = sum(curve.objects for curve in curves)
        precision, recall = right / said, right / objects
        tried.append(
            (2 * precision * recall / (precision + recall) if right else 0.0, score, precision, recall)
        )
    scores = np.array([entry[1] for entry in tried])
    np.testing.assert_allclose(f1_at(curves, scores), [entry[0] for entry in tried])
    np.testing.assert_allclose(f1_at(curves, scores - 1e-9), [entry[0] for entry in tried])
    assert f1_at(curves, np.array([2.0])) == [0.0]  # nothing is kept
    f1, score, precision, recall = max(tried)
    assert (best.f1, best.score) == (pytest.approx(f1), score)
    assert (best.precision, best.recall) == (pytest.approx(precision), pytest.approx(recall))


def test_a_score_takes_all_predictions_of_it():
    truth = split([[(0, BOX)]], classes=1)
    best = best_operating(voc_ap(rows((0, 0, 0.5, BOX), (0, 0, 0.5, OFF)), truth).curves)
    assert (best.score, best.precision, best.recall) == (0.5, 0.5, 1.0)


def test_there_is_none_without_objects_or_finds():
    nothing = voc_ap(rows((0, 0, 0.5, OFF)), split([[(0, BOX)]], classes=1)).curves
    assert f1_at(nothing, np.array([0.0, 0.5])).tolist() == [0.0, 0.0]
    assert np.isnan(f1_at(voc_ap(rows(), split([[]], classes=1)).curves, np.array([0.5]))).all()
    assert best_operating(voc_ap(rows((0, 0, 0.5, OFF)), split([[(0, BOX)]], classes=1)).curves) is None
    assert best_operating(voc_ap(rows((0, 0, 0.5, OFF)), split([[]], classes=1)).curves) is None
    assert best_operating([]) is None


def test_precision_at_a_recall_is_the_best_from_there_on():
    truth = split([[(0, BOX)], [(0, BOX)], [(0, BOX)]], classes=1)
    found = rows((0, 0, 0.9, OFF), (0, 0, 0.8, BOX), (1, 0, 0.7, BOX), (1, 0, 0.6, OFF))
    curve = voc_ap(found, truth).curves[0]
    assert precision_at(curve, np.array([0, 1 / 3, 0.5, 2 / 3, 0.7, 1])).tolist() == pytest.approx(
        [2 / 3] * 4 + [0, 0]
    )
    nothing = voc_ap(found, split([[], [], []], classes=1)).curves[0]
    assert np.isnan(precision_at(nothing, np.array([0.0, 1.0]))).all()
