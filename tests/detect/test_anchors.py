"""Anchors fit the boxes they were found from, depend on nothing but boxes and seed, and always are nine."""

import numpy as np
import pytest

from netaug.core.errors import DataError
from netaug.detect.anchors import COCO_ANCHORS, kmeans_anchors, mean_best_iou

random = np.random.default_rng(0)


def _boxes_around(centres, count=200, spread=0.03):
    sizes = np.repeat(np.array(centres, np.float64), count, axis=0)
    return random.permutation(sizes * np.exp(random.normal(0, spread, sizes.shape)))


def _iou(a, b):
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def test_nine_clear_groups_are_found():
    centres = [(10, 10), (10, 40), (40, 10), (30, 30), (90, 30), (30, 90), (80, 80), (200, 80), (200, 220)]
    found = kmeans_anchors(_boxes_around(centres))
    wanted = sorted(centres, key=lambda size: size[0] * size[1])
    for anchor in found:
        assert max(_iou(anchor, centre) for centre in wanted) > 0.95
    assert len({max(wanted, key=lambda centre: _iou(anchor, centre)) for anchor in found}) == 9


def test_anchors_ascend_and_fit_better_than_those_of_other_data():
    sizes = np.exp(random.normal(3.5, 0.6, (3000, 2)))
    found = kmeans_anchors(sizes)
    areas = [width * height for width, height in found]
    assert len(found) == 9
    assert areas == sorted(areas)
    assert mean_best_iou(sizes, found) > mean_best_iou(sizes, COCO_ANCHORS) + 0.05


def test_the_mean_is_that_of_a_loop():
    sizes = np.exp(random.normal(4, 1, (50, 2)))
    written_out = np.mean([max(_iou(size, anchor) for anchor in COCO_ANCHORS) for size in sizes])
    assert mean_best_iou(sizes, COCO_ANCHORS) == pytest.approx(written_out, abs=1e-12)


def test_no_anchor_can_be_moved_to_its_own_boxes_mean():
    """The fixed point that k-means is: each anchor is the mean of the boxes that are nearest to it."""
    sizes = np.exp(random.normal(3.5, 0.6, (500, 2)))
    found = kmeans_anchors(sizes)
    nearest = np.array([max(range(9), key=lambda k: _iou(size, found[k])) for size in sizes])
    for number, anchor in enumerate(found):
        assert anchor == pytest.approx(sizes[nearest == number].mean(0), rel=0.02)


def test_the_seed_repeats_them():
    sizes = np.exp(random.normal(3.5, 0.6, (11_000, 2)))  # more than are looked at, so some are drawn
    assert kmeans_anchors(sizes, seed=1) == kmeans_anchors(sizes.copy(), seed=1)


@pytest.mark.parametrize("different", [1, 2, 8, 9])
def test_few_different_sizes_are_kept_and_filled_up(different):
    sizes = [(20.0 + 7 * number, 30.0) for number in range(different)]
    found = kmeans_anchors(np.array(sizes * 5))
    assert len(set(found)) == 9
    assert set(sizes) <= set(found)
    assert mean_best_iou(np.array(sizes), found) == 1.0


@pytest.mark.parametrize(
    ("size", "shown"), [((0, 5), "width 0"), ((5, -1), "height -1"), ((np.nan, 5), "nan")]
)
def test_boxes_without_a_size_are_refused(size, shown):
    with pytest.raises(DataError, match=r"1 of 2 boxes.*(\n.*)*" + shown):
        kmeans_anchors(np.array([(3, 4), size]))


def test_no_boxes_say_what_else_there_is():
    with pytest.raises(DataError, match="anchors coco"):
        kmeans_anchors(np.zeros((0, 2)))
