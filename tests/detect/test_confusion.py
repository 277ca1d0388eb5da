"""What is taken for what: by hand, and the counts of random splits."""

from __future__ import annotations

import numpy as np
import pytest

from netaug.detect.confusion import UNCOUNTED, WRONG, confusion, pair_up
from tests.detect.splits import random_split, rows, split

BOX = (10, 10, 30, 30)
NEAR = (11, 10, 31, 30)
OFF = (60, 60, 80, 80)


def test_each_case_by_hand():
    truth = split([[(0, BOX), (1, OFF), (1, (0, 80, 20, 100))], [(0, BOX, "difficult")]], classes=2)
    found = rows(
        (0, 0, 0.9, NEAR),  # right
        (0, 0, 0.8, BOX),  # a second one of it
        (0, 0, 0.7, OFF),  # class 0 on an object of class 1
        (0, 1, 0.6, (40, 0, 60, 20)),  # on nothing
        (0, 1, 0.1, (0, 80, 20, 100)),  # right, but too unsure
        (1, 1, 0.9, BOX),  # on a difficult one
    )
    pairing = pair_up(found, truth)
    assert pairing.object_K.tolist() == [0, UNCOUNTED, WRONG, 1, WRONG]
    assert pairing.missed.tolist() == [2]
    #        as 0, as 1, missed
    assert confusion(pairing, truth).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    assert confusion(pair_up(found, truth, score=0.1), truth)[1].tolist() == [1, 1, 0]


def test_the_surer_one_takes_the_object_it_overlaps_most():
    truth = split([[(0, BOX), (0, NEAR)]], classes=1)
    pairing = pair_up(rows((0, 0, 0.5, BOX), (0, 0, 0.9, BOX), (0, 0, 0.4, BOX)), truth)
    assert pairing.object_K.tolist() == [0, 1, WRONG]


def test_of_equal_overlaps_its_own_class_comes_first():
    truth = split([[(0, BOX), (1, BOX)]], classes=2)
    assert pair_up(rows((0, 1, 0.5, BOX)), truth).object_K.tolist() == [1]
    assert pair_up(rows((0, 0, 0.5, BOX)), truth).object_K.tolist() == [0]


@pytest.mark.parametrize("seed", range(4))
def test_every_counted_object_and_prediction_is_in_the_matrix_once(seed):
    rows_K7, truth = random_split(seed, marks=("difficult", "crowd"))
    pairing = pair_up(rows_K7, truth, score=0.3)
    matrix = confusion(pairing, truth)
    counts = ~(truth.difficult_M | truth.crowd_M)
    np.testing.assert_array_equal(matrix[:3].sum(axis=1), np.bincount(truth.labels_M[counts], minlength=3))
    kept = pairing.object_K != UNCOUNTED
    np.testing.assert_array_equal(
        matrix[:, :3].sum(axis=0), np.bincount(pairing.rows_K7[kept, 1].astype(int), minlength=3)
    )
    assert 0 < np.trace(matrix) < matrix.sum()
    taken = pairing.object_K[pairing.object_K >= 0]
    assert len(set(taken)) == len(taken)


def test_nothing_predicted_and_nothing_there():
    nothing = np.zeros((0, 7))
    truth = split([[(0, BOX)], []], classes=1)
    assert confusion(pair_up(nothing, truth), truth).tolist() == [[0, 1], [0, 0]]
    empty = split([[], []], classes=1)
    assert confusion(pair_up(rows((0, 0, 0.9, BOX)), empty), empty).tolist() == [[0, 0], [1, 0]]
