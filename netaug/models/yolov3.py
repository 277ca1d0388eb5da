"""YOLOv3 with depthwise-separable layers, on the features of any other network.

The network is read off the paper's table of multiply-accumulates, as no code was released: the step from
VOC's 20 classes to COCO's 80 gives the channels before the last layers (64, 128, 256 at the strides 8, 16,
32); the rest fits one pair of 1x1 layers around one depthwise-separable layer at each scale, on a backbone
without its last convolution. All twelve printed counts are met within 0.5 % (tested). Its children are
``backbone``, ``neck`` and ``heads``, so that patterns of ``netaug.keep`` and ``train.freeze`` name them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.core.errors import ModelError, ShapeError
from netaug.models.blocks import ConvNormAct
from netaug.models.features import backbone_features
from netaug.models.init import init_default
from netaug.models.registry import register_detector

STRIDE = 32  # pixels of the input to a cell of the coarsest map
PER_CELL = 3  # anchors of a map
BOX_CHANNELS = 5  # x, y, width, height, objectness
NECK = (32, 64, 128)  # channels of the neck at the strides 8, 16, 32; the heads have twice as many
OBJECT_PRIOR = 0.01  # how likely a fresh detector takes a prediction to be an object
DEVIATION = 0.01  # of the first weights of the last layers


@register_detector("yolov3", about="YOLOv3 with depthwise-separable neck and heads", image_size=416)
def yolov3(
    *,
    backbone: str,
    num_classes: int = 80,
    in_chans: int = 3,
    neck: Sequence[int] = NECK,
    **options: object,
) -> YoloV3:
    """Build YOLOv3 on a backbone: three maps of predictions, at the strides 8, 16 and 32.

    On MobileNetV2 x 0.35 the defaults have the multiply-accumulates of the paper's detector.

    Args:
        backbone: A network written here, or ``timm:NAME``.
        num_classes: Number of classes.
        in_chans: Image channels.
        neck: Channels of the neck at the strides 8, 16 and 32; the heads have twice as many.
        **options: Keyword arguments of the backbone's factory. For timm, ``pretrained=True`` loads weights.

    Raises:
        ModelError: The backbone has no features of these strides, or a number cannot be used.

    Source:
        Redmon & Farhadi 2018, arXiv:1804.02767; depthwise-separable as in Cai et al. 2022, arXiv:2110.08890, table 5.
    """
    whole = isinstance(neck, list | tuple) and all(type(count) is int and count >= 1 for count in neck)
    if not whole or len(neck) != len(NECK):
        raise ModelError(
            "option neck of yolov3 cannot be used.",
            got=repr(neck),
            allowed="three whole numbers >= 1, for the strides 8, 16 and 32",
        )
    features, channels = backbone_features(backbone, in_chans, options)
    return YoloV3(features, channels, num_classes=num_classes, neck=neck)


class YoloV3(nn.Module):
    """Runs a backbone, a neck that brings features of coarse maps to finer ones, and a head for each map.

    Args:
        backbone: From images to three maps, at the strides 8, 16 and 32.
        channels: Channels of these maps.
        num_classes: Number of classes.
        neck: Channels of the neck at the three strides.
    """

    def __init__(
        self, backbone: nn.Module, channels: Sequence[int], *, num_classes: int, neck: Sequence[int] = NECK
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = Neck(channels, neck)
        self.heads = nn.ModuleList(_head(count, num_classes) for count in neck)
        init_default(self.neck)
        init_default(self.heads)
        for head in self.heads.children():
            _init_predictions(list(head.children())[-1], num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return patterns that tell the layer of a parameter, in timm's form; others belong to the heads' layer.

        Args:
            coarse: Whether a whole stage of the backbone is one layer, else each block is.
        """
        numbered = r"backbone\.(?:stages|blocks|layers?)[._]?"  # as ours and timm's are named
        stage, block = rf"^{numbered}(\d+)", rf"^{numbered}(\d+)\.(?:blocks\.)?(\d+)"
        blocks = stage if coarse else [(block, None), (stage, (-1,))]  # what is before a stage's first block
        return {"stem": rf"^(?!{numbered}\d)backbone\.", "blocks": blocks, "neck": r"^neck"}

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images ``[N, in_chans, H, W]`` to ``[N, 3 * (5 + classes), H / s, W / s]`` for the strides s = 8, 16, 32.

        Of each of the three anchors: x, y, width, height, objectness, classes; see :mod:`netaug.detect.codec`.

        Raises:
            ShapeError: A side of the images is not a multiple of 32.
        """
        if images_NCHW.shape[-1] % STRIDE or images_NCHW.shape[-2] % STRIDE:
            raise ShapeError(
                f"the sides of a detector's images are multiples of {STRIDE} pixels.",
                got=tuple(images_NCHW.shape),
            )
        fine, middle, coarse = self.heads
        fine_NCHW, middle_NCHW, coarse_NCHW = self.neck(*self.backbone(images_NCHW))
        return fine(fine_NCHW), middle(middle_NCHW), coarse(coarse_NCHW)


class Neck(nn.Module):
    """Combines each of three maps with the coarser ones; returns three maps.

    Args:
        channels: Channels of the maps that enter, at the strides 8, 16 and 32.
        neck: Channels of those that leave.
    """

    def __init__(self, channels: Sequence[int], neck: Sequence[int]) -> None:
        super().__init__()
        (fine_in, middle_in, coarse_in), (fine, middle, coarse) = channels, neck
        self.coarse = _rows(coarse_in, coarse)
        self.to_middle = ConvNormAct(coarse, middle)
        self.middle = _rows(middle_in + middle, middle)
        self.to_fine = ConvNormAct(middle, fine)
        self.fine = _rows(fine_in + fine, fine)

    def forward(
        self, fine_NCHW: Tensor, middle_NCHW: Tensor, coarse_NCHW: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map features at the strides 8, 16, 32 to features at these strides."""
        coarse_NCHW = self.coarse(coarse_NCHW)
        middle_NCHW = self.middle(torch.cat([middle_NCHW, _doubled(self.to_middle(coarse_NCHW))], 1))
        fine_NCHW = self.fine(torch.cat([fine_NCHW, _doubled(self.to_fine(middle_NCHW))], 1))
        return fine_NCHW, middle_NCHW, coarse_NCHW


def _doubled(x_NCHW: Tensor) -> Tensor:
    return F.interpolate(x_NCHW, scale_factor=2.0, mode="nearest")


def _separable(in_channels: int, out_channels: int) -> nn.Sequential:
    """Build a 3x3 convolution in two steps: depthwise, then 1x1."""
    depthwise = ConvNormAct(in_channels, in_channels, 3, groups=in_channels)
    return nn.Sequential(depthwise, ConvNormAct(in_channels, out_channels))


def _rows(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(in_channels, channels),
        _separable(channels, 2 * channels),
        ConvNormAct(2 * channels, channels),
    )


def _head(channels: int, num_classes: int) -> nn.Sequential:
    predictions = nn.Conv2d(2 * channels, PER_CELL * (BOX_CHANNELS + num_classes), 1)
    return nn.Sequential(_separable(channels, 2 * channels), predictions)


def _init_predictions(layer: nn.Module, num_classes: int) -> None:
    """Initialize to boxes like the anchors, hardly any objects and equal classes: the loss starts small and stable."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    # Drawn on the CPU whatever the device, so one seed repeats it.
    fresh = torch.empty(layer.weight.shape, device="cpu").normal_(0.0, DEVIATION)
    class_prior = 1 / max(2, num_classes)
    with torch.no_grad():
        layer.weight.copy_(fresh)
        biases = layer.bias.view(PER_CELL, -1)
        biases[:, BOX_CHANNELS - 1] = _logit(OBJECT_PRIOR)
        biases[:, BOX_CHANNELS:] = _logit(class_prior)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
