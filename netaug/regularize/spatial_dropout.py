"""Spatial dropout on the late feature maps: whole channels of an image are dropped."""

from __future__ import annotations

from functools import partial

from torch.nn import functional as F

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import LayerRegularizer, TensorFunction
from netaug.regularize.places import late_maps


def _make_drop(config: RegularizeConfig, rate: float) -> TensorFunction:
    return partial(F.dropout2d, p=rate)


SPATIAL_DROPOUT = LayerRegularizer(
    "spatial_dropout", _make_drop, late_maps, needs="a convolution on maps of more than one pixel"
)
