"""The loss of a detector: which predictions have which objects as targets, and how far they are from them.

The loss of an image is divided by the predictions with a target in this image, then averaged over images. A sum
over the batch divided by its objects would make an image's weight depend on the others in the batch, and
microbatches, processes and the augmented pass would no longer add up.

Overlaps are counted for each object with the predictions of its own image: memory grows with objects times predictions,
not with images times the most objects of one. This takes 3 % of a step's time.

Boxes are corners (left, top, right, bottom), sizes are (width, height), both in pixels of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.config.detect import DetectConfig
from netaug.detect.anchors import Anchors
from netaug.detect.codec import PER_CELL, STRIDES, Decoded, Shapes, decode, map_shapes
from netaug.detect.targets import BoxTargets


@dataclass(frozen=True)
class LossParts:
    """Holds the parts of the loss as weighted scalars: ``total`` is the sum of the other three.

    Args:
        total: What is minimized.
        box: Loss of positions and sizes.
        objectness: Loss of whether there is an object.
        classes: Loss of its class.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Assignment:
    """Holds the K predictions that have an object as target, in the order of images and slots; none is there twice.

    Args:
        images_K: Which of the N images.
        slots_K: Which of its P predictions, in the order of :class:`netaug.detect.codec.Decoded`.
        objects_K: Which of the M objects.
    """

    images_K: Tensor
    slots_K: Tensor
    objects_K: Tensor


def detection_loss(
    maps: Sequence[Tensor], targets: BoxTargets, anchors: Anchors, config: DetectConfig
) -> LossParts:
    """Measure how far a detector's maps are from the objects in N images.

    Of each image: over the predictions that are assigned an object, the sum of 1 - CIoU with its box, and of the binary
    cross entropies of the classes; over all predictions, the sum of the binary cross entropy of objectness, 1 for
    those that are assigned an object, else 0. Each of these is divided by the number of predictions with an
    object in this image, at least 1; the mean over the N images is returned. So microbatches, weighted by their
    images, add up to the whole batch.

    Predictions that are not assigned an object are left out of objectness if their box has an IoU above
    ``config.ignore_iou`` with any object, or lies by more than this fraction inside of an ignored one.

    Args:
        maps: As for :func:`netaug.detect.codec.decode`.
        targets: The objects, in pixels of the network's input.
        anchors: Nine (width, height) in pixels of the input, smallest first.
        config: Factors and overlaps.

    Source:
        Redmon & Farhadi 2018, arXiv:1804.02767, section 2.1, with CIoU in place of squared errors: Zheng et al. 2020,
        arXiv:1911.08287.
    """
    decoded = decode(maps, anchors)
    assigned = assign(targets, anchors, map_shapes(maps), config.match_iou)
    weights_N = _image_weights(assigned, len(targets), decoded.boxes_NP4)
    parts = (
        config.box_weight * _box_loss(decoded, targets, assigned, weights_N),
        config.objectness_weight * _objectness(decoded, targets, assigned, weights_N, config.ignore_iou),
        config.class_weight * _class_loss(decoded, targets, assigned, weights_N),
    )
    return LossParts(parts[0] + parts[1] + parts[2], *parts)


def _box_loss(decoded: Decoded, targets: BoxTargets, assigned: Assignment, weights_N: Tensor) -> Tensor:
    from torchvision.ops import complete_box_iou_loss  # on first use: slow to import

    boxes_K4 = decoded.boxes_NP4[assigned.images_K, assigned.slots_K]
    wanted_K4 = targets.boxes_M4[assigned.objects_K].to(boxes_K4.dtype)
    losses_K: Tensor = complete_box_iou_loss(boxes_K4, wanted_K4)
    return (losses_K * weights_N[assigned.images_K]).sum()


def _class_loss(decoded: Decoded, targets: BoxTargets, assigned: Assignment, weights_N: Tensor) -> Tensor:
    logits_KC = decoded.logits_NPC[assigned.images_K, assigned.slots_K]
    classes_KC = F.one_hot(targets.labels_M[assigned.objects_K], logits_KC.shape[1]).to(logits_KC.dtype)
    losses_K = F.binary_cross_entropy_with_logits(logits_KC, classes_KC, reduction="none").sum(1)
    return (losses_K * weights_N[assigned.images_K]).sum()


def _image_weights(assigned: Assignment, images: int, like: Tensor) -> Tensor:
    counts_N = torch.bincount(assigned.images_K, minlength=images).clamp(min=1)
    return 1 / (counts_N.to(like.dtype) * images)


def _objectness(
    decoded: Decoded, targets: BoxTargets, assigned: Assignment, weights_N: Tensor, ignore_iou: float
) -> Tensor:
    logits_NP = decoded.objectness_NP
    wanted_NP = torch.zeros_like(logits_NP)
    wanted_NP[assigned.images_K, assigned.slots_K] = 1
    # Which predictions count is a decision, not a quantity: no gradient flows through it.
    counted_NP = ~_near_an_object(decoded.boxes_NP4.detach(), targets, ignore_iou)
    counted_NP[assigned.images_K, assigned.slots_K] = True
    losses_NP = F.binary_cross_entropy_with_logits(logits_NP, wanted_NP, reduction="none")
    return ((losses_NP * counted_NP).sum(1) * weights_N).sum()


@torch.no_grad()
def _near_an_object(boxes_NP4: Tensor, targets: BoxTargets, ignore_iou: float) -> Tensor:
    """Tell which predictions overlap so much with an object of their image that they are not wrong, bool ``[N, P]``."""
    owners_M = targets.owners
    objects_M14 = targets.boxes_M4[:, None].to(boxes_NP4.dtype)
    areas_NP = box_sizes(boxes_NP4).prod(-1)
    shared_MP = intersections(boxes_NP4[owners_M], objects_M14)
    union_MP = areas_NP[owners_M] + box_sizes(objects_M14).prod(-1) - shared_MP
    # COCO judges a prediction on a crowd by the fraction of it that lies inside.
    whole_MP = torch.where(targets.ignored_M[:, None], areas_NP[owners_M], union_MP)
    objects, slots = (shared_MP > ignore_iou * whole_MP).nonzero(as_tuple=True)
    near_NP = torch.zeros_like(areas_NP, dtype=torch.bool)
    near_NP[owners_M[objects], slots] = True
    return near_NP


def assign(targets: BoxTargets, anchors: Anchors, shapes: Shapes, match_iou: float) -> Assignment:
    """Give each object to the anchor of the most similar size, in the cell that its center is in.

    Args:
        targets: The objects; ignored ones are assigned to none.
        anchors: Nine (width, height) in pixels of the input, smallest first: three for each stride.
        shapes: Height and width in cells of the map of each stride.
        match_iou: An anchor whose size overlaps by more than this with the object's is assigned it too; with 1 none is.

    Returns:
        If several objects ask for one prediction, it is assigned the one whose size its anchor overlaps most with, the
        first of equals. An object may so be assigned to no prediction.

    Source:
        Redmon & Farhadi 2018, arXiv:1804.02767, section 2.1.
    """
    device, boxes_M4 = targets.boxes_M4.device, targets.boxes_M4
    sizes_A2 = torch.tensor(anchors, dtype=boxes_M4.dtype, device=device)
    overlaps_MA = size_overlaps(box_sizes(boxes_M4), sizes_A2)
    best_MA = torch.zeros_like(overlaps_MA, dtype=torch.bool)
    best_MA.scatter_(1, overlaps_MA.argmax(1, keepdim=True), True)
    # An object always gets its best anchor, even if none overlaps it by ``match_iou``.
    wanted_MA = (best_MA | (overlaps_MA > match_iou)) & ~targets.ignored_M[:, None]
    objects_K, anchors_K = wanted_MA.nonzero(as_tuple=True)
    images_K = targets.owners[objects_K]
    slots_K = _slots(boxes_M4, shapes)[objects_K, anchors_K]
    first_K = _first_of_each(images_K, slots_K, overlaps_MA[objects_K, anchors_K])
    return Assignment(images_K[first_K], slots_K[first_K], objects_K[first_K])


def _slots(boxes_M4: Tensor, shapes: Shapes) -> Tensor:
    """Return each anchor's prediction in the cell of an object's center, ``[M, 9]``; the nearest cell if outside."""
    centers_M2, start, slots = (boxes_M4[:, :2] + boxes_M4[:, 2:]) / 2, 0, list[Tensor]()
    for stride, (height, width) in zip(STRIDES, shapes, strict=True):
        column, row = (centers_M2 / stride).floor().long().unbind(1)
        cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        for _ in range(PER_CELL):
            slots.append(start + cell)
            start += height * width
    return torch.stack(slots, 1)


def _first_of_each(images_K: Tensor, slots_K: Tensor, overlaps_K: Tensor) -> Tensor:
    """Return positions in order of image and slot, of each slot the one with the largest overlap only."""
    # Three stable sorts, the least significant key first, as in a radix sort.
    order = overlaps_K.argsort(descending=True, stable=True)
    for by in (slots_K, images_K):
        order = order[by[order].argsort(stable=True)]
    images, slots = images_K[order], slots_K[order]
    new = torch.ones_like(images, dtype=torch.bool)
    new[1:] = (images[1:] != images[:-1]) | (slots[1:] != slots[:-1])
    return order[new]


def box_sizes(boxes_M4: Tensor) -> Tensor:
    """Return widths and heights, ``[..., 2]``; negative ones count as 0."""
    return (boxes_M4[..., 2:] - boxes_M4[..., :2]).clamp(min=0)


def intersections(boxes_M4: Tensor, others_M4: Tensor) -> Tensor:
    """Return shared areas of boxes that are broadcast against each other, in square pixels, ``[...]``."""
    left, top, right, bottom = boxes_M4.unbind(-1)
    other_left, other_top, other_right, other_bottom = others_M4.unbind(-1)
    width = right.minimum(other_right).sub_(left.maximum(other_left)).clamp_(min=0)
    height = bottom.minimum(other_bottom).sub_(top.maximum(other_top)).clamp_(min=0)
    return width.mul_(height)


def size_overlaps(sizes_M2: Tensor, others_K2: Tensor) -> Tensor:
    """Return the intersection over union of every two sizes on one center, ``[M, K]`` in [0, 1]."""
    shared_MK = sizes_M2[:, None].minimum(others_K2[None]).prod(-1)
    union_MK = sizes_M2.prod(-1)[:, None] + others_K2.prod(-1)[None] - shared_MK
    return shared_MK / union_MK
