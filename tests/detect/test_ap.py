"""Pascal VOC's average precision against the devkit's loop written out, and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netaug.detect import overlaps
from netaug.detect.ap import voc_ap
from tests.detect.splits import random_split, rows, split

BOX = (10, 10, 30, 30)
OFF = (60, 60, 80, 80)


def iou_of(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def written_out(rows_K7, truth, label, threshold, points) -> float:
    """VOCevaldet.m and VOCap.m line by line, precision and recall as fractions."""
    mine = sorted((r for r in rows_K7 if r[1] == label), key=lambda r: -r[2])
    taken = set()
    positives = sum(
        bool(truth.labels_M[m] == label and not truth.difficult_M[m]) for m in range(len(truth.labels_M))
    )
    right = wrong = 0
    curve = []
    for row in mine:
        most, which = 0.0, None
        for m in range(truth.of(int(row[0])).start, truth.of(int(row[0])).stop):
            if truth.labels_M[m] == label and iou_of(row[3:], truth.boxes_M4[m].astype(float)) > most:
                most, which = iou_of(row[3:], truth.boxes_M4[m].astype(float)), m
        if which is not None and most >= threshold:
            if truth.difficult_M[which]:
                continue
            if which in taken:
                wrong += 1
            else:
                right += 1
                taken.add(which)
        else:
            wrong += 1
        curve.append((Fraction(right, positives) if positives else None, Fraction(right, right + wrong)))
    if not positives:
        return float("nan")
    if points == "11":
        return float(
            sum(max((p for r, p in curve if r >= Fraction(t, 10)), default=0) for t in range(11)) / 11
        )
    area, before = Fraction(0), Fraction(0)
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(p for _, p in curve[place:])
        before = recall
    return float(area)


@pytest.mark.parametrize("points", ["all", "11"])
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_devkit_written_out(seed, points):
    rows_K7, truth = random_split(seed)
    for threshold in (0.3, 0.5, 0.75):
        result = voc_ap(rows_K7, truth, threshold, points)
        expected = [written_out(rows_K7, truth, label, threshold, points) for label in range(3)]
        np.testing.assert_allclose(result.ap_C, expected, atol=1e-12)
        assert np.isnan(result.ap_C[2])
        assert 0 < result.mean < 1
        assert result.mean == pytest.approx(np.mean(expected[:2]), abs=1e-12)


def test_pairs_are_compared_some_at_a_time(monkeypatch):
    rows_K7, truth = random_split(3)
    at_once = voc_ap(rows_K7, truth)
    monkeypatch.setattr(overlaps, "PAIRS_AT_ONCE", 2)
    np.testing.assert_array_equal(voc_ap(rows_K7, truth).ap_C, at_once.ap_C)


def test_a_second_prediction_of_an_object_is_wrong():
    truth = split([[(0, BOX)], [(0, BOX)]], classes=1)
    found = rows((0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (1, 0, 0.7, BOX))
    assert voc_ap(found, truth).mean == pytest.approx(0.5 + 0.5 * 2 / 3)
    # recalls 0 .. 0.5 at precision 1, 0.6 .. 1 at 2/3
    assert voc_ap(found, truth, points="11").mean == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_difficult_objects_and_crowds_count_neither_way():
    truth = split([[(0, BOX), (0, OFF, "difficult"), (0, (0, 80, 20, 100), "crowd")]], classes=1)
    alone = voc_ap(rows((0, 0, 0.5, BOX)), truth)
    found = voc_ap(
        rows((0, 0, 0.5, BOX), (0, 0, 0.9, OFF), (0, 0, 0.8, OFF), (0, 0, 0.7, (0, 80, 20, 100))), truth
    )
    assert found.mean == alone.mean == 1.0
    assert found.curves[0].objects == 1
    assert len(found.curves[0].scores_P) == 1


def test_ten_thirds_of_recall_are_three_tenths():
    """0.1 * 3 > 3 / 10 in floating point; recall 3/10 still reaches the point 0.3."""
    truth = split([[(0, BOX)] for _ in range(10)], classes=1)
    assert voc_ap(rows(*((i, 0, 0.9, BOX) for i in range(3))), truth, points="11").mean == pytest.approx(
        4 / 11
    )


def test_an_overlap_of_exactly_the_threshold_is_enough():
    truth = split([[(0, (0, 0, 10, 10))]], classes=1)
    assert voc_ap(rows((0, 0, 1.0, (0, 0, 10, 5))), truth).mean == 1.0
    assert voc_ap(rows((0, 0, 1.0, (0, 0, 10, 4.9))), truth).mean == 0.0


def test_of_equal_scores_the_first_row_is_the_surer_one():
    truth = split([[(0, BOX)]], classes=1)
    assert voc_ap(rows((0, 0, 0.5, BOX), (0, 0, 0.5, OFF)), truth).mean == 1.0
    assert voc_ap(rows((0, 0, 0.5, OFF), (0, 0, 0.5, BOX)), truth).mean == 0.5


def test_no_predictions_find_nothing_and_no_objects_give_no_average():
    nothing = np.zeros((0, 7))
    assert voc_ap(nothing, split([[(0, BOX)], []], classes=1)).mean == 0.0
    empty = voc_ap(rows((0, 0, 0.9, BOX)), split([[], []], classes=1))
    assert np.isnan(empty.mean)
    assert np.isnan(empty.ap_C).all()
    assert np.isnan(voc_ap(nothing, split([], classes=2)).mean)


def test_boxes_without_an_area_overlap_nothing():
    truth = split([[(0, (10, 10, 10, 10)), (0, BOX)]], classes=1)
    assert voc_ap(rows((0, 0, 0.9, (10, 10, 10, 10)), (0, 0, 0.8, BOX)), truth).mean == pytest.approx(0.25)
