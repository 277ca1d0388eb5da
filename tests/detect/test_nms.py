"""Detections are those of a loop, in pixels of the file, and those of an image do not depend on the others."""

import numpy as np
import pytest
import torch

from netaug.config.detect import DetectConfig
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.codec import Decoded, decode
from netaug.detect.nms import detections
from tests.detect import reference

CONFIG = DetectConfig(score_threshold=0.2, nms_iou=0.45, max_detections=15)
FRAMES = torch.tensor(
    [[0.5, 0.4, 3.0, 10.0, 120.0, 110.0], [2.0, 2.0, 0.0, 0.0, 32.0, 32.0]], dtype=torch.float64
)


def _written_out(maps, frames, config):
    rows = []
    for image, predictions in enumerate(reference.decode(maps, COCO_ANCHORS)):
        fx, fy, left, top, width, height = frames[image].tolist()
        candidates = []
        for box, objectness, classes in predictions:
            x0, y0, x1, y1 = (
                (box[0] - left) / fx,
                (box[1] - top) / fy,
                (box[2] - left) / fx,
                (box[3] - top) / fy,
            )
            clipped = (*_clip(x0, y0, width, height), *_clip(x1, y1, width, height))
            for label, logit in enumerate(classes):
                score = reference.sigmoid(objectness) * reference.sigmoid(logit)
                if score >= config.score_threshold and reference.area(clipped) > 0:
                    candidates.append((score, label, clipped))
        kept = []
        for score, label, box in sorted(candidates, reverse=True):
            if all(label != other or reference.iou(box, near) <= config.nms_iou for _, other, near in kept):
                kept.append((score, label, box))
        rows += [(image, label, score, *box) for score, label, box in kept[: config.max_detections]]
    return np.array(rows)


def _clip(x, y, width, height):
    return min(max(x, 0.0), width), min(max(y, 0.0), height)


def test_they_equal_a_loop():
    maps = reference.random_maps(2, 64, 0)
    found = detections(decode(maps, COCO_ANCHORS), FRAMES, torch.tensor([0, 1]), CONFIG)
    wanted = _written_out(maps, FRAMES, CONFIG)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert len(wanted) > 10


def test_an_image_alone_gets_the_same_and_its_position_in_the_split():
    decoded = decode(reference.random_maps(2, 64, 1), COCO_ANCHORS)
    both = detections(decoded, FRAMES, torch.tensor([70_000_001, 4]), CONFIG)
    alone = Decoded(decoded.boxes_NP4[1:], decoded.objectness_NP[1:], decoded.logits_NPC[1:])
    assert np.array_equal(detections(alone, FRAMES[1:], torch.tensor([4]), CONFIG), both[both[:, 0] == 4])
    assert set(both[:, 0]) == {70_000_001, 4}


def _decoded(boxes, objectness, classes):
    tensors = (torch.tensor([one], dtype=torch.float32) for one in (boxes, objectness, classes))
    return Decoded(*tensors)


PLAIN = torch.tensor([[1.0, 1.0, 0.0, 0.0, 64.0, 64.0]], dtype=torch.float64)


def test_the_same_box_is_kept_once_for_each_class_and_off_the_image_not_at_all():
    here, outside = [4, 4, 20, 20], [70, 4, 90, 20]
    decoded = _decoded([here, here, outside], [5.0, 4.0, 6.0], [[9.0, 9.0], [9.0, -9.0], [9.0, 9.0]])
    found = detections(decoded, PLAIN, torch.tensor([3]), CONFIG)
    assert found[:, [0, 1]].tolist() == [[3, 0], [3, 1]]
    assert found[:, 3:].tolist() == [here, here]


def test_nothing_sure_enough_is_no_rows():
    decoded = _decoded([[4, 4, 20, 20]], [-9.0], [[9.0, 9.0]])
    assert detections(decoded, PLAIN, torch.tensor([0]), CONFIG).shape == (0, 7)


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_than_asked_and_the_surest_first(most):
    boxes = [[0, 0, 8, 8], [16, 0, 24, 8], [32, 0, 40, 8], [48, 0, 56, 8]]
    decoded = _decoded(boxes, [1.0, 3.0, 2.0, 4.0], [[9.0]] * 4)
    config = DetectConfig(max_detections=most)
    assert detections(decoded, PLAIN, torch.tensor([0]), config)[:, 3].tolist() == [48, 16, 32][:most]


def test_of_more_candidates_than_are_looked_at_the_best_are_and_of_equals_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = torch.Generator().manual_seed(0)
    boxes = [[left, top, left + 6, top + 6] for left in range(0, 64, 8) for top in range(0, 64, 8)]
    sure = torch.randint(-1, 3, (64,), generator=random).float().tolist()  # few different values
    monkeypatch.setattr("netaug.detect.nms._CANDIDATES", 10)
    config = DetectConfig(max_detections=1)
    monkeypatch.setattr("netaug.detect.nms._suppressed", lambda *given: torch.arange(len(given[0])))
    found = detections(_decoded(boxes, sure, [[9.0]] * 64), PLAIN, torch.tensor([0]), config)
    order = sorted(range(64), key=lambda slot: -sure[slot])[:10]  # sorting is stable
    assert found[:, 3:5].tolist() == [boxes[slot][:2] for slot in order]
