"""Overlaps of boxes. Boxes are corners (left, top, right, bottom), sizes are (width, height), both in pixels."""

from __future__ import annotations

from torch import Tensor


def box_sizes(boxes_M4: Tensor) -> Tensor:
    """Widths and heights, ``[..., 2]``; negative ones count as 0."""
    return (boxes_M4[..., 2:] - boxes_M4[..., :2]).clamp(min=0)


def intersections(boxes_M4: Tensor, others_M4: Tensor) -> Tensor:
    """Shared areas of boxes that are broadcast against each other, in square pixels, ``[...]``."""
    left, top, right, bottom = boxes_M4.unbind(-1)
    other_left, other_top, other_right, other_bottom = others_M4.unbind(-1)
    width = right.minimum(other_right).sub_(left.maximum(other_left)).clamp_(min=0)
    height = bottom.minimum(other_bottom).sub_(top.maximum(other_top)).clamp_(min=0)
    return width.mul_(height)


def size_overlaps(sizes_M2: Tensor, others_K2: Tensor) -> Tensor:
    """Intersection over union of every two sizes laid on the same centre, ``[M, K]`` in [0, 1]."""
    shared_MK = sizes_M2[:, None].minimum(others_K2[None]).prod(-1)
    union_MK = sizes_M2.prod(-1)[:, None] + others_K2.prod(-1)[None] - shared_MK
    return shared_MK / union_MK
