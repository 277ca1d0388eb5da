"""What a detector's predictions cost against the objects in the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.config.detect import DetectConfig
from netaug.detect.anchors import Anchors
from netaug.detect.assign import Assignment, assign
from netaug.detect.boxes import box_sizes, intersections
from netaug.detect.codec import Decoded, decode, map_shapes
from netaug.detect.targets import BoxTargets


@dataclass(frozen=True)
class LossParts:
    """Scalars, weighted: ``total`` is the sum of the other three.

    Args:
        total: What is minimised.
        box: Of places and sizes.
        objectness: Of whether there is an object.
        classes: Of its class.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor


def detection_loss(
    maps: Sequence[Tensor], targets: BoxTargets, anchors: Anchors, config: DetectConfig
) -> LossParts:
    """Measure how far a detector's maps are from the objects in N images.

    Of each image: over the predictions that are taught an object, the sum of 1 - CIoU with its box, and of the binary
    cross entropies of the classes; over all predictions, the sum of the binary cross entropy of objectness, 1 for
    those that are taught an object, else 0. Each of these is divided by the number of predictions that are taught an
    object in this image, at least 1; the mean over the N images is returned. So an image's share does not depend on
    what else is in the batch: parts of a batch, weighed by their images, add up to the whole.

    Predictions that are not taught an object are left out of objectness if their box has an IoU above
    ``config.ignore_iou`` with any object, or lies by more than this share inside of an ignored one.

    Args:
        maps: As for :func:`netaug.detect.codec.decode`.
        targets: The objects, in pixels of the network's input.
        anchors: Nine (width, height) in pixels of the input, smallest first.
        config: Factors and overlaps.

    Source:
        Redmon & Farhadi 2018, arXiv:1804.02767, section 2.1, with CIoU in place of squared errors: Zheng et al. 2020,
        arXiv:1911.08287.
    """
    from torchvision.ops import complete_box_iou_loss  # on first use: slow to import

    decoded = decode(maps, anchors)
    taught = assign(targets, anchors, map_shapes(maps), config.match_iou)
    weights_N = _image_weights(taught, len(targets), decoded.boxes_NP4)
    weights_K = weights_N[taught.images_K]
    boxes_K4 = decoded.boxes_NP4[taught.images_K, taught.slots_K]
    wanted_K4 = targets.boxes_M4[taught.objects_K].to(boxes_K4.dtype)
    box = (complete_box_iou_loss(boxes_K4, wanted_K4) * weights_K).sum()
    logits_KC = decoded.logits_NPC[taught.images_K, taught.slots_K]
    classes_KC = F.one_hot(targets.labels_M[taught.objects_K], logits_KC.shape[1]).to(logits_KC.dtype)
    classes_K = F.binary_cross_entropy_with_logits(logits_KC, classes_KC, reduction="none").sum(1)
    objectness = _objectness(decoded, targets, taught, weights_N, config.ignore_iou)
    parts = (
        config.box_weight * box,
        config.objectness_weight * objectness,
        config.class_weight * (classes_K * weights_K).sum(),
    )
    return LossParts(parts[0] + parts[1] + parts[2], *parts)


def _image_weights(taught: Assignment, images: int, like: Tensor) -> Tensor:
    counts_N = torch.bincount(taught.images_K, minlength=images).clamp(min=1)
    return 1 / (counts_N.to(like.dtype) * images)


def _objectness(
    decoded: Decoded, targets: BoxTargets, taught: Assignment, weights_N: Tensor, ignore_iou: float
) -> Tensor:
    logits_NP = decoded.objectness_NP
    wanted_NP = torch.zeros_like(logits_NP)
    wanted_NP[taught.images_K, taught.slots_K] = 1
    counted_NP = ~_near_an_object(decoded.boxes_NP4.detach(), targets, ignore_iou)
    counted_NP[taught.images_K, taught.slots_K] = True
    losses_NP = F.binary_cross_entropy_with_logits(logits_NP, wanted_NP, reduction="none")
    return ((losses_NP * counted_NP).sum(1) * weights_N).sum()


@torch.no_grad()
def _near_an_object(boxes_NP4: Tensor, targets: BoxTargets, ignore_iou: float) -> Tensor:
    """Which predictions overlap so much with an object of their image that they are not wrong, bool ``[N, P]``."""
    owners_M = targets.owners
    objects_M14 = targets.boxes_M4[:, None].to(boxes_NP4.dtype)
    areas_NP = box_sizes(boxes_NP4).prod(-1)
    shared_MP = intersections(boxes_NP4[owners_M], objects_M14)
    union_MP = areas_NP[owners_M] + box_sizes(objects_M14).prod(-1) - shared_MP
    # COCO judges a prediction on a crowd by the share of it that lies inside.
    whole_MP = torch.where(targets.ignored_M[:, None], areas_NP[owners_M], union_MP)
    objects, slots = (shared_MP > ignore_iou * whole_MP).nonzero(as_tuple=True)
    near_NP = torch.zeros_like(areas_NP, dtype=torch.bool)
    near_NP[owners_M[objects], slots] = True
    return near_NP
