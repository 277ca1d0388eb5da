"""Which predictions of a detector are taught which objects."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netaug.detect.anchors import Anchors
from netaug.detect.boxes import box_sizes, size_overlaps
from netaug.detect.codec import PER_CELL, STRIDES, Shapes
from netaug.detect.targets import BoxTargets


@dataclass(frozen=True)
class Assignment:
    """K predictions that are taught an object each, in the order of images and slots; no prediction is there twice.

    Args:
        images_K: Which of the N images.
        slots_K: Which of its P predictions, in the order of :class:`netaug.detect.codec.Decoded`.
        objects_K: Which of the M objects.
    """

    images_K: Tensor
    slots_K: Tensor
    objects_K: Tensor


def assign(targets: BoxTargets, anchors: Anchors, shapes: Shapes, match_iou: float) -> Assignment:
    """Give each object to the anchor of the most similar size, in the cell that its centre is in.

    Args:
        targets: The objects; those to be ignored are given to nobody.
        anchors: Nine (width, height) in pixels of the input, smallest first: three for each stride.
        shapes: Height and width in cells of the map of each stride.
        match_iou: An anchor whose size overlaps by more than this with the object's is taught it too; with 1 none is.

    Returns:
        If several objects ask for one prediction, it is taught the one whose size its anchor overlaps most with, the
        first of equals. An object may so be taught to nobody.

    Source:
        Redmon & Farhadi 2018, arXiv:1804.02767, section 2.1.
    """
    device, boxes_M4 = targets.boxes_M4.device, targets.boxes_M4
    sizes_A2 = torch.tensor(anchors, dtype=boxes_M4.dtype, device=device)
    overlaps_MA = size_overlaps(box_sizes(boxes_M4), sizes_A2)
    best_MA = torch.zeros_like(overlaps_MA, dtype=torch.bool)
    best_MA.scatter_(1, overlaps_MA.argmax(1, keepdim=True), True)
    wanted_MA = (best_MA | (overlaps_MA > match_iou)) & ~targets.ignored_M[:, None]
    objects_K, anchors_K = wanted_MA.nonzero(as_tuple=True)
    images_K = targets.owners[objects_K]
    slots_K = _slots(boxes_M4, shapes)[objects_K, anchors_K]
    first_K = _first_of_each(images_K, slots_K, overlaps_MA[objects_K, anchors_K])
    return Assignment(images_K[first_K], slots_K[first_K], objects_K[first_K])


def _slots(boxes_M4: Tensor, shapes: Shapes) -> Tensor:
    """The prediction of each anchor in the cell that an object's centre is in, ``[M, 9]``; nearest cell if outside."""
    centres_M2, start, found = (boxes_M4[:, :2] + boxes_M4[:, 2:]) / 2, 0, list[Tensor]()
    for stride, (height, width) in zip(STRIDES, shapes, strict=True):
        column, row = (centres_M2 / stride).floor().long().unbind(1)
        cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        for _ in range(PER_CELL):
            found.append(start + cell)
            start += height * width
    return torch.stack(found, 1)


def _first_of_each(images_K: Tensor, slots_K: Tensor, overlaps_K: Tensor) -> Tensor:
    """Positions in order of image and slot, of each slot the one with the largest overlap only."""
    order = overlaps_K.argsort(descending=True, stable=True)
    for by in (slots_K, images_K):
        order = order[by[order].argsort(stable=True)]
    images, slots = images_K[order], slots_K[order]
    new = torch.ones_like(images, dtype=torch.bool)
    new[1:] = (images[1:] != images[:-1]) | (slots[1:] != slots[:-1])
    return order[new]
