"""Detection in loops over images, objects and cells, in Python's float64: what the tensor code must equal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from netaug.detect.targets import BoxTargets

STRIDES = (8, 16, 32)
Box = tuple[float, float, float, float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cross_entropy(logit: float, wanted: float) -> float:
    return -wanted * math.log(sigmoid(logit)) - (1 - wanted) * math.log(1 - sigmoid(logit))


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared(a: Box, b: Box) -> float:
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    return shared(a, b) / (area(a) + area(b) - shared(a, b))


def ciou_loss(a: Box, b: Box) -> float:
    """1 - IoU + squared distance of centres over squared diagonal + alpha v (Zheng et al. 2020)."""
    distance = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    overlap = iou(a, b)
    return 1 - overlap + distance / diagonal + v * v / (1 - overlap + v)


def slots(anchors: Sequence[tuple[float, float]], shapes: Sequence[tuple[int, int]]):
    """Of each prediction in order: scale, anchor, row, column."""
    return [
        (scale, 3 * scale + own, row, column)
        for scale, (height, width) in enumerate(shapes)
        for own in range(3)
        for row in range(height)
        for column in range(width)
    ]


def decode(maps: Sequence[Tensor], anchors: Sequence[tuple[float, float]]):
    """Of each image a list over predictions: box, objectness logit, class logits."""
    shapes = [tuple(one.shape[-2:]) for one in maps]
    images = []
    for image in range(len(maps[0])):
        found = []
        for scale, anchor, row, column in slots(anchors, shapes):
            channels = maps[scale].shape[1] // 3
            start = channels * (anchor % 3)
            numbers = maps[scale][image, start : start + channels, row, column].tolist()
            x = (column + sigmoid(numbers[0])) * STRIDES[scale]
            y = (row + sigmoid(numbers[1])) * STRIDES[scale]
            w, h = (anchors[anchor][side] * math.exp(numbers[2 + side]) for side in (0, 1))
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            found.append((box, numbers[4], numbers[5:]))
        images.append(found)
    return images


def assign(targets: BoxTargets, anchors, shapes, match_iou: float) -> dict[tuple[int, int], int]:
    """(image, slot) to the object that is taught there."""
    places = {place: slot for slot, place in enumerate(slots(anchors, shapes))}
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for number, (box, owner) in enumerate(
        zip(targets.boxes_M4.tolist(), targets.owners.tolist(), strict=True)
    ):
        if targets.ignored_M[number]:
            continue
        w, h = box[2] - box[0], box[3] - box[1]
        overlaps = [iou((0, 0, w, h), (0, 0, *anchor)) for anchor in anchors]
        for anchor, overlap in enumerate(overlaps):
            if anchor != overlaps.index(max(overlaps)) and overlap <= match_iou:
                continue
            scale = anchor // 3
            height, width = shapes[scale]
            column = min(width - 1, max(0, int((box[0] + box[2]) / 2 // STRIDES[scale])))
            row = min(height - 1, max(0, int((box[1] + box[3]) / 2 // STRIDES[scale])))
            key = (owner, places[scale, anchor, row, column])
            if key not in best or best[key][0] < overlap:
                best[key] = (overlap, number)
    return {key: number for key, (_, number) in sorted(best.items())}


def loss(maps, targets: BoxTargets, anchors, config) -> tuple[float, float, float]:
    """Box, objectness and class loss, weighted."""
    taught = assign(targets, anchors, [tuple(one.shape[-2:]) for one in maps], config.match_iou)
    boxes, owners = targets.boxes_M4.tolist(), targets.owners.tolist()
    sums = [0.0, 0.0, 0.0]
    for image, predictions in enumerate(decode(maps, anchors)):
        count = max(1, sum(owner == image for owner, _ in taught))
        for slot, (box, objectness, classes) in enumerate(predictions):
            number = taught.get((image, slot))
            if number is not None:
                label = int(targets.labels_M[number])
                sums[0] += config.box_weight * ciou_loss(box, boxes[number]) / count
                sums[1] += config.objectness_weight * cross_entropy(objectness, 1.0) / count
                for index, logit in enumerate(classes):
                    sums[2] += config.class_weight * cross_entropy(logit, float(index == label)) / count
                continue
            near = False
            for other, owner in enumerate(owners):
                if owner == image and targets.ignored_M[other]:
                    near |= shared(box, boxes[other]) / area(box) > config.ignore_iou
                elif owner == image:
                    near |= iou(box, boxes[other]) > config.ignore_iou
            if not near:
                sums[1] += config.objectness_weight * cross_entropy(objectness, 0.0) / count
    return tuple(total / len(targets) for total in sums)


def random_targets(images: int, side: int, seed: int, *, classes: int = 3, most: int = 6) -> BoxTargets:
    """Boxes of all sizes in images, some of them ignored, some images without any; float64."""
    random = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most, (images,), generator=random)
    total = int(counts.sum())
    corners = torch.rand(total, 2, 2, generator=random, dtype=torch.float64).sort(1).values * (side - 4)
    corners[:, 1] += 3
    return BoxTargets(
        corners.flatten(1),
        torch.randint(0, classes, (total,), generator=random),
        torch.rand(total, generator=random) < 0.2,
        counts,
    )


def random_maps(images: int, side: int, seed: int, *, classes: int = 3) -> list[Tensor]:
    """Maps of noise in float64."""
    random = torch.Generator().manual_seed(seed)
    shapes = [(images, 3 * (5 + classes), side // stride, side // stride) for stride in STRIDES]
    return [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
