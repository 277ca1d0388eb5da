"""Objects go to the prediction of their size and place, and every prediction is taught one object at most."""

import pytest
import torch

from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.loss import assign
from netaug.detect.targets import BoxTargets
from tests.detect import reference

SHAPES = [(12, 12), (6, 6), (3, 3)]  # of 96 pixels


def _as_dict(found):
    columns = (found.images_K.tolist(), found.slots_K.tolist(), found.objects_K.tolist())
    return {(image, slot): number for image, slot, number in zip(*columns, strict=True)}


def _targets(boxes, *, ignored=False):
    count = len(boxes)
    return BoxTargets(
        torch.tensor(boxes, dtype=torch.float32),
        torch.zeros(count, dtype=torch.int64),
        torch.full((count,), ignored),
        torch.tensor([count]),
    )


@pytest.mark.parametrize("match_iou", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_a_loop_over_objects(seed, match_iou):
    targets = reference.random_targets(6, 96, seed, most=12)
    found = assign(targets, COCO_ANCHORS, SHAPES, match_iou)
    wanted = reference.assign(targets, COCO_ANCHORS, SHAPES, match_iou)
    assert list(_as_dict(found).items()) == list(wanted.items())
    assert len(found.slots_K) == len(wanted) > 0


def test_with_1_only_the_best_anchor_is_taught_even_of_equal_ones():
    twice = (COCO_ANCHORS[0],) * 9
    assert len(assign(_targets([[8, 8, 18, 21]]), twice, SHAPES, 1.0).slots_K) == 1


def test_the_object_that_fits_its_anchor_best_wins_a_prediction_and_the_first_of_equals():
    loose, close = [40, 40, 58, 74], [42, 41, 58, 71]  # both nearest to the anchor (16, 30), in one cell
    found = assign(_targets([loose, close, close]), COCO_ANCHORS, SHAPES, 1.0)
    assert found.objects_K.tolist() == [1]


def test_ignored_objects_are_taught_to_nobody():
    assert len(assign(_targets([[8, 8, 18, 21]], ignored=True), COCO_ANCHORS, SHAPES, 0.5).slots_K) == 0


def test_a_centre_on_the_last_edge_is_in_the_last_cell():
    found = assign(_targets([[96, 96, 96, 96]]), COCO_ANCHORS, SHAPES, 1.0)
    places = reference.slots(COCO_ANCHORS, SHAPES)
    assert [places[slot] for slot in found.slots_K.tolist()] == [(0, 0, 11, 11)]


def test_no_objects_are_no_work():
    empty = _targets([[0, 0, 1, 1]])[0:0]
    assert len(assign(empty, COCO_ANCHORS, SHAPES, 0.5).slots_K) == 0
