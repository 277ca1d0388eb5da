"""A detector learns: eight images by heart, with the loop that a user would write."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from netaug import AugmentConfig, augment, create_model
from netaug.config.detect import DetectConfig
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.annotations import Annotations
from netaug.detect.ap import voc_ap
from netaug.detect.codec import decode
from netaug.detect.loss import detection_loss
from netaug.detect.nms import detections
from netaug.detect.targets import BoxTargets
from tests.tiny import images as noise

COUNT, SIDE, CLASSES = 8, 96, 3
OPTIONS = {"channels": (8, 12, 16, 24), "blocks": (1, 1, 1, 1), "strides": (2, 2, 2, 2), "neck": (16, 16, 16)}
STEPS = 100


def _scenes() -> tuple[Tensor, BoxTargets]:
    """Rectangles of three colors on noise; the last image is empty."""
    random = torch.Generator().manual_seed(0)
    images, boxes, labels, counts = noise(COUNT, SIDE) * 0.2, [], [], []
    for image in range(COUNT):
        quarters = torch.randperm(4, generator=random)[: image % 4 + 1 if image < COUNT - 1 else 0]
        counts.append(len(quarters))
        for quarter in quarters.tolist():
            label, (w, h) = len(labels) % CLASSES, torch.randint(12, 44, (2,), generator=random).tolist()
            left = quarter % 2 * SIDE // 2 + int(torch.randint(0, 48 - w, (1,), generator=random))
            top = quarter // 2 * SIDE // 2 + int(torch.randint(0, 48 - h, (1,), generator=random))
            images[image, label, top : top + h, left : left + w] += 2.0
            boxes.append([left, top, left + w, top + h])
            labels.append(label)
    ignored = torch.zeros(len(labels), dtype=torch.bool)
    return images, BoxTargets(
        torch.tensor(boxes).float(), torch.tensor(labels), ignored, torch.tensor(counts)
    )


def _truth(targets: BoxTargets) -> Annotations:
    count = len(targets.labels_M)
    nothing, starts = (
        np.zeros(count, dtype=np.bool_),
        np.concatenate([[0], targets.counts_N.cumsum(0).numpy()]),
    )
    boxes = targets.boxes_M4.numpy()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    sizes = np.full((COUNT, 2), SIDE)
    return Annotations(
        sizes,
        boxes,
        targets.labels_M.numpy(),
        nothing,
        nothing,
        areas,
        starts,
        np.arange(COUNT),
        np.arange(CLASSES),
    )


@pytest.mark.slow
@pytest.mark.parametrize("netaug", [False, True])
def test_eight_images_are_learnt_by_heart(netaug: bool) -> None:
    torch.manual_seed(0)
    images, targets = _scenes()
    config = DetectConfig()
    model = create_model("yolov3:micronet", num_classes=CLASSES, **OPTIONS)
    wide = (
        AugmentConfig(width=(1.0, 1.5), expand=(1.0, 1.5))
        if netaug
        else AugmentConfig(width_until=0, expand_until=0)
    )
    supernet = augment(model, images, wide)
    optimizer = torch.optim.AdamW(supernet.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, STEPS)
    for step in range(STEPS):
        optimizer.zero_grad()
        for pass_ in supernet.passes(step, step / STEPS):
            x, y = pass_.take(images, targets)
            (pass_.weight * detection_loss(supernet(x), y, COCO_ANCHORS, config).total).backward()
        optimizer.step()
        schedule.step()
    detector = supernet.extract().eval()
    frames = torch.tensor([[1, 1, 0, 0, SIDE, SIDE]], dtype=torch.float64).repeat(COUNT, 1)
    with torch.no_grad():
        rows = detections(decode(detector(images), COCO_ANCHORS), frames, torch.arange(COUNT), config)
    assert voc_ap(rows, _truth(targets)).mean > 0.95
