"""The loss is that of a loop in float64; parts of a batch add up to the whole; its minimum is saying the truth."""

from dataclasses import replace

import pytest
import torch

from netaug.config.detect import DetectConfig
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.codec import decode, encode, map_shapes
from netaug.detect.loss import detection_loss
from netaug.detect.targets import BoxTargets
from tests.detect import reference

CONFIG = DetectConfig(match_iou=0.4, ignore_iou=0.3, box_weight=1.5, objectness_weight=0.7, class_weight=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_loop_over_images_and_predictions(seed):
    maps, targets = reference.random_maps(4, 64, seed), reference.random_targets(4, 64, seed)
    found = detection_loss(maps, targets, COCO_ANCHORS, CONFIG)
    wanted = reference.loss(maps, targets, COCO_ANCHORS, CONFIG)
    assert [found.box.item(), found.objectness.item(), found.classes.item()] == pytest.approx(
        wanted, rel=1e-6
    )
    assert found.total.item() == pytest.approx(sum(wanted), rel=1e-6)
    assert min(wanted) > 0


def test_predictions_near_an_object_are_left_out():
    """Else the test above could pass with nothing near anything."""
    maps, targets = reference.random_maps(4, 64, 0), reference.random_targets(4, 64, 0)
    strict = detection_loss(maps, targets, COCO_ANCHORS, replace(CONFIG, ignore_iou=1.0))
    lenient = detection_loss(maps, targets, COCO_ANCHORS, CONFIG)
    assert lenient.objectness < strict.objectness
    nothing_ignored = replace(targets, ignored_M=torch.zeros_like(targets.ignored_M))
    assert detection_loss(maps, nothing_ignored, COCO_ANCHORS, CONFIG).box != lenient.box


def test_parts_of_a_batch_add_up_to_the_whole():
    maps, targets = reference.random_maps(6, 64, 1), reference.random_targets(6, 64, 1)
    whole = detection_loss(maps, targets, COCO_ANCHORS, CONFIG).total
    parts = [
        detection_loss([one[rows] for one in maps], targets[rows], COCO_ANCHORS, CONFIG).total
        * len(targets[rows])
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    assert sum(parts).item() / 6 == pytest.approx(whole.item(), rel=1e-12)


def test_images_without_objects_teach_that_there_are_none():
    maps = [one.requires_grad_() for one in reference.random_maps(2, 32, 0)]
    nothing = reference.random_targets(2, 32, 0, most=1)
    assert len(nothing.labels_M) == 0
    found = detection_loss(maps, nothing, COCO_ANCHORS, CONFIG)
    found.total.backward()
    assert found.box == found.classes == 0
    assert all((one.grad.unflatten(1, (3, -1))[:, :, 4] > 0).all() for one in maps)


def test_saying_the_truth_costs_nothing():
    targets = BoxTargets(
        torch.tensor([[10.0, 12, 30, 50], [40, 4, 60, 20]], dtype=torch.float64),
        torch.tensor([2, 0]),
        torch.tensor([False, False]),
        torch.tensor([2]),
    )
    maps = [torch.full_like(one, -30.0) for one in reference.random_maps(1, 64, 0)]
    shapes = map_shapes(maps)
    taught = reference.assign(targets, COCO_ANCHORS, shapes, CONFIG.match_iou)
    places = reference.slots(COCO_ANCHORS, shapes)
    for (_, slot), number in taught.items():
        scale, anchor, row, column = places[slot]
        said = maps[scale][0].unflatten(0, (3, -1))[anchor % 3, :, row, column]
        box = targets.boxes_M4[number : number + 1]
        said[:4] = encode(box, torch.tensor([slot]), COCO_ANCHORS, shapes)[0]
        said[4] = said[5 + targets.labels_M[number]] = 30.0
    assert detection_loss(maps, targets, COCO_ANCHORS, CONFIG).total.abs() < 1e-6
    assert (decode(maps, COCO_ANCHORS).objectness_NP > 0).sum() == len(taught)


def test_in_half_precision_it_is_near_and_finite():
    maps, targets = reference.random_maps(4, 64, 2), reference.random_targets(4, 64, 2)
    half = [one.to(torch.bfloat16).requires_grad_() for one in maps]
    found = detection_loss(half, targets, COCO_ANCHORS, CONFIG)
    found.total.backward()
    assert found.total.item() == pytest.approx(reference_total(maps, targets), rel=0.02)
    assert all(one.grad.isfinite().all() for one in half)


def reference_total(maps, targets):
    return sum(reference.loss(maps, targets, COCO_ANCHORS, CONFIG))
