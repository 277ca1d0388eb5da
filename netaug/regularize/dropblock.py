"""DropBlock on the late feature maps: squares of a map are dropped (Ghiasi et al. 2018, arXiv:1810.12890)."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import LayerRegularizer, TensorFunction
from netaug.regularize.places import late_maps


def _make_drop(config: RegularizeConfig, rate: float) -> TensorFunction:
    return partial(_drop_squares, rate=rate, size=config.dropblock_size)


def _drop_squares(x_NCHW: Tensor, rate: float, size: int) -> Tensor:
    from torchvision.ops import drop_block2d  # on first use: slow to import

    side = min(size, *x_NCHW.shape[-2:])
    # torchvision's function fails for even sides
    dropped_NCHW: Tensor = drop_block2d(x_NCHW, rate, side - (side + 1) % 2)
    return dropped_NCHW


DROPBLOCK = LayerRegularizer(
    "dropblock", _make_drop, late_maps, needs="a convolution on maps of more than one pixel"
)
