"""Between a detector's maps and boxes: what the numbers of YOLOv3 mean.

P counts all predictions of an image: strides 8, 16, 32; in each anchor by anchor; in each rows of cells from the top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netaug.core.errors import ShapeError
from netaug.detect.anchors import Anchors

STRIDES = (8, 16, 32)
PER_CELL = 3  # anchors of a stride
BOX_CHANNELS = 5  # x, y, width, height, objectness
MOST_GROWTH = math.log(
    1000 / 16
)  # of a side over its anchor's: keeps the exponential finite, as torchvision does

Shapes = Sequence[tuple[int, int]]
"""Height and width in cells of the map of each stride."""


@dataclass(frozen=True)
class Decoded:
    """Holds the decoded predictions of a detector for N images.

    Args:
        boxes_NP4: Corners in pixels of the network's input, not clipped; at least float32.
        objectness_NP: Logits that there is an object.
        logits_NPC: Logits of each class.
    """

    boxes_NP4: Tensor
    objectness_NP: Tensor
    logits_NPC: Tensor


@dataclass(frozen=True)
class Grid:
    """Holds the cell, stride and anchor of each prediction.

    Args:
        cells_P2: Column and row of its cell.
        strides_P1: Pixels to a cell.
        anchors_P2: Its anchor in pixels.
    """

    cells_P2: Tensor
    strides_P1: Tensor
    anchors_P2: Tensor


def make_grid(anchors: Anchors, shapes: Shapes, like: Tensor) -> Grid:
    """Return the grid of maps of these shapes, in the type and on the device of ``like``."""
    kind, device = like.dtype, like.device
    cells, strides, sizes = list[Tensor](), list[Tensor](), list[Tensor]()
    for scale, (stride, (height, width)) in enumerate(zip(STRIDES, shapes, strict=True)):
        rows, columns = torch.meshgrid(
            torch.arange(height, dtype=kind, device=device),
            torch.arange(width, dtype=kind, device=device),
            indexing="ij",
        )
        cells.append(torch.stack([columns, rows], -1).reshape(-1, 2).repeat(PER_CELL, 1))
        of_scale = torch.tensor(anchors[PER_CELL * scale : PER_CELL * (scale + 1)], dtype=kind, device=device)
        sizes.append(of_scale.repeat_interleave(height * width, 0))
        strides.append(torch.full((PER_CELL * height * width, 1), float(stride), dtype=kind, device=device))
    return Grid(torch.cat(cells), torch.cat(strides), torch.cat(sizes))


def decode(maps: Sequence[Tensor], anchors: Anchors) -> Decoded:
    """Turn maps into boxes with objectness and classes.

    The center of a box is at ``(cell + sigmoid(t_xy)) * stride``, its size is ``anchor * exp(t_wh)``.

    Args:
        maps: Three of shape ``[N, 3 * (5 + C), H / s, W / s]`` for the strides s = 8, 16, 32. Half-precision maps are
            decoded in float32.
        anchors: Nine (width, height) in pixels of the input, smallest first: three for each stride.

    Raises:
        ShapeError: The maps or anchors are not of this form.

    Source:
        Redmon & Farhadi 2018, arXiv:1804.02767, section 2.1.
    """
    _check(maps, anchors)
    flat_NPK = torch.cat([_flat(map_NKHW) for map_NKHW in maps], 1)
    if flat_NPK.dtype not in (torch.float32, torch.float64):
        flat_NPK = flat_NPK.float()
    grid = make_grid(anchors, map_shapes(maps), flat_NPK)
    centers = (flat_NPK[..., :2].sigmoid() + grid.cells_P2) * grid.strides_P1
    halves = flat_NPK[..., 2:4].clamp(max=MOST_GROWTH).exp() * (grid.anchors_P2 / 2)
    boxes_NP4 = torch.cat([centers - halves, centers + halves], -1)
    return Decoded(boxes_NP4, flat_NPK[..., 4], flat_NPK[..., BOX_CHANNELS:])


def encode(boxes_K4: Tensor, slots_K: Tensor, anchors: Anchors, shapes: Shapes) -> Tensor:
    """Return the numbers ``t_x, t_y, t_w, t_h`` that decode to boxes.

    Args:
        boxes_K4: Corners in pixels of the network's input.
        slots_K: The prediction that encodes each, 0 .. P-1; the center of the box must be inside of its cell.
        anchors: As for :func:`decode`.
        shapes: Height and width in cells of each map.
    """
    grid = make_grid(anchors, shapes, boxes_K4)
    centers = (boxes_K4[:, :2] + boxes_K4[:, 2:]) / 2
    inside = centers / grid.strides_P1[slots_K] - grid.cells_P2[slots_K]
    growth = (boxes_K4[:, 2:] - boxes_K4[:, :2]) / grid.anchors_P2[slots_K]
    return torch.cat([torch.logit(inside), growth.log()], 1)


def map_shapes(maps: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Return height and width in cells of each map."""
    return [(int(map_NKHW.shape[-2]), int(map_NKHW.shape[-1])) for map_NKHW in maps]


def _flat(map_NKHW: Tensor) -> Tensor:
    """Reshape ``[N, 3 * K, H, W]`` to ``[N, 3 * H * W, K]``."""
    count, channels, height, width = map_NKHW.shape
    apart = map_NKHW.reshape(count, PER_CELL, channels // PER_CELL, height * width)
    return apart.transpose(2, 3).reshape(count, PER_CELL * height * width, channels // PER_CELL)


def _check(maps: Sequence[Tensor], anchors: Anchors) -> None:
    shapes = [tuple(map_NKHW.shape) for map_NKHW in maps]
    sound = len(shapes) == len(STRIDES) and all(len(shape) == 4 for shape in shapes)
    if sound:
        channels, height, width = shapes[0][1:]
        sound = channels % PER_CELL == 0 and channels > PER_CELL * BOX_CHANNELS
        for stride, shape in zip(STRIDES, shapes, strict=True):
            scale = stride // STRIDES[0]
            wanted = (shapes[0][0], channels, height, width)
            sound = sound and wanted == (*shape[:2], shape[2] * scale, shape[3] * scale)
    if not sound:
        raise ShapeError(
            "these are not the maps of a detector.",
            got=", ".join(map(str, shapes)),
            allowed="three of [N, 3 * (5 + classes), H / s, W / s] for the strides s = 8, 16, 32",
        )
    if len(anchors) != PER_CELL * len(STRIDES):
        raise ShapeError("a detector needs nine anchors.", got=f"{len(anchors)}: {anchors}")
